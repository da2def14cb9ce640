"""Whether what a model describes to an app is what its program takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mobilesdk.coreml.model import Feature, MLModel
from mobilesdk.coreml.program import NamedType, StateType, TensorType, ValueType

# Operation set → the specification version that it came with.
_VERSIONS = {"CoreML5": 6, "CoreML6": 7, "CoreML7": 8, "CoreML8": 9, "CoreML9": 10}


def contradictions(model: MLModel, function: str) -> tuple[str, ...]:
    """Tell where the description of a function contradicts its program, one sentence each.

    Every input of the program is described, and nothing is described that the program lacks; arrays
    and states have one element type in both. The specification version is no older than the
    operation set. Pixels of images, and what a classifier gives, have types of their own.
    """
    program, described = model.program.functions[function], model.interface(function)
    inputs = [item for item in program.inputs if not isinstance(item.type, StateType)]
    states = [item for item in program.inputs if isinstance(item.type, StateType)]
    made = {output.name: output for item in program.block.walk() for output in item.outputs}
    made |= {item.name: item for item in program.inputs}
    outputs = [made[name] for name in program.block.outputs if name in made]
    known = {feature.name for feature in described.inputs}
    return (
        *_of_version(model.specification_version, program.opset),
        *(
            f"The program takes {item.name!r}, which the model does not describe."
            for item in inputs
            if item.name not in known
        ),
        *_of_features("input", described.inputs, inputs),
        *_of_features("state", described.states, states),
        *_of_features("output", described.outputs, outputs),
    )


def _of_version(version: int, opset: str) -> Iterator[str]:
    needed = _VERSIONS.get(opset, 0)
    if version < needed:
        yield (
            f"The model has the specification version {version}, its program the operation set "
            f"{opset}, which came with version {needed}."
        )


def _of_features(
    what: str, features: Sequence[Feature], declared: Sequence[NamedType]
) -> Iterator[str]:
    types = {item.name: item.type for item in declared}
    for feature in features:
        if feature.name not in types:
            yield f"The model describes the {what} {feature.name!r}, which its program lacks."
            continue
        element = _element(types[feature.name])
        if feature.kind in ("array", "state") and element not in ("", feature.dtype):
            yield (
                f"The {what} {feature.name!r} is {feature.dtype} in the description of the model, "
                f"{element} in its program."
            )


def _element(of: ValueType) -> str:
    held = of.wrapped if isinstance(of, StateType) else of
    return held.element.value if isinstance(held, TensorType) else ""
