"""Hold what a contract says of boxes and masks to the shapes of the outputs."""

from __future__ import annotations

from mobilesdk.core.contract import BoxLayout, Contract, MaskLayout, OutputSpec
from mobilesdk.errors import InvalidContract, suggest

_COORDINATES = 4


def check_layouts(contract: Contract) -> None:
    """Pass a contract whose boxes and masks can be what it says.

    Raises:
        InvalidContract: A layout does not fit its kind or its shape, or names no output.
    """
    for spec in contract.outputs:
        if spec.layout is not None and spec.layout.kind != spec.kind:
            raise InvalidContract(
                f"The output {spec.name!r} is of the kind {spec.kind!r}, its layout of "
                f"{spec.layout.kind!r}.",
                hint="state one kind, or leave out the layout.",
            )
        if isinstance(spec.layout, BoxLayout):
            _check_boxes(spec, spec.layout, contract)
        if isinstance(spec.layout, MaskLayout):
            _check_mask(spec, spec.layout)


def _check_boxes(spec: OutputSpec, layout: BoxLayout, contract: Contract) -> None:
    if len(spec.shape) != 3 or spec.shape[0] != 1 or spec.shape[-1] < _COORDINATES:
        raise InvalidContract(
            f"The output {spec.name!r} is {list(spec.shape)}, but boxes are [1, N, 4] or [1, N, 4 "
            "and scores].",
            hint="let forward return boxes in rows: transpose(1, 2) where they are in columns.",
        )
    if layout.scores is None:
        return
    scores = {each.name: each for each in contract.outputs}.get(layout.scores)
    if scores is None:
        names = [each.name for each in contract.outputs]
        raise InvalidContract(
            f"The scores of the boxes {spec.name!r} are {layout.scores!r}, which is no output.",
            hint=suggest(layout.scores, names),
        )
    if scores.shape[:2] != spec.shape[:2] or len(scores.shape) > len(spec.shape):
        raise InvalidContract(
            f"The scores {scores.name!r} are {list(scores.shape)}, but there are "
            f"{spec.shape[1]} boxes in {spec.name!r}.",
            hint="give one score, or one for each class, for each box: [1, N] or [1, N, classes].",
        )


def _check_mask(spec: OutputSpec, layout: MaskLayout) -> None:
    axes = len(spec.shape)
    if layout.class_axis is None or (axes > 2 and spec.shape[_axis(layout)] > 1):
        return
    raise InvalidContract(
        f"The output {spec.name!r} is {list(spec.shape)}: it has no {layout.class_axis} axis of "
        "two classes or more beside the batch and the pixels.",
        hint="leave out class_axis where each value is a pixel.",
    )


def _axis(layout: MaskLayout) -> int:
    return 1 if layout.class_axis == "first" else -1
