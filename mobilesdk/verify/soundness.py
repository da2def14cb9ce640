"""Refuse an artifact that is wrong on its face, or takes and gives other things than its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.naming import natural_order
from mobilesdk.errors import ArtifactInvalid

Spec = InputSpec | OutputSpec

_NAMED = 10
_OVERFLOW_HINT = (
    "a number that float16 cannot hold (an attention mask of -1e38, say) becomes infinite: "
    "use -1e4 in the model, or float32 precision in the target."
)
_STORED_AS = {
    "int64": frozenset({"int32"}),
    "float32": frozenset({"int8", "uint8", "int16"}),  # integers with their scale in the file
}


def enforce_sound(info: ArtifactInfo) -> None:
    """Pass an artifact whose inspection found nothing wrong.

    Raises:
        ArtifactInvalid: It has problems, or weights that are not finite; the first ten are named.
    """
    problems = [
        *info.problems,
        *(
            f"the weight {weight.name} of {weight.op} holds numbers that are not finite"
            for weight in info.weights
            if not weight.finite
        ),
    ]
    if not problems:
        return
    named = "\n  - ".join(problems[:_NAMED])
    more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise ArtifactInvalid(
        f"The written {info.format} file has {len(problems)} problem(s):\n  - {named}{more}",
        hint=_OVERFLOW_HINT if any("not finite" in problem for problem in problems) else "",
    )


def enforce_contract(info: ArtifactInfo, contract: Contract) -> None:
    """Pass an artifact that declares the inputs and outputs of its model, without running it.

    Names are compared where the format keeps them; elsewhere the order of names counts. Integers
    may stand for int64 and, in a quantized file, for float32.

    Raises:
        ArtifactInvalid: It declares others; all are named.
    """
    problems = [
        *_interface_problems("input", info.inputs, contract.inputs, info.keeps_names),
        *_interface_problems("output", info.outputs, contract.outputs, info.keeps_names),
    ]
    if problems:
        raise ArtifactInvalid(
            f"The {info.format} file contradicts the contract of the model: {'; '.join(problems)}.",
            hint="build it again from the model that the contract belongs to.",
        )


def _interface_problems(
    what: str, found: Sequence[TensorInfo], specs: Sequence[Spec], keeps_names: bool
) -> Iterator[str]:
    if len(found) != len(specs):
        yield f"it has {len(found)} {what}s, the contract {len(specs)}"
        return
    by_name = {tensor.name: tensor for tensor in found}
    in_order = sorted(found, key=lambda tensor: natural_order(tensor.name))
    for spec, placed in zip(specs, in_order, strict=True):
        tensor = by_name.get(spec.name) if keeps_names else placed
        if tensor is None:
            yield f"it has no {what} named {spec.name!r}"
        elif not _fits(tensor, spec):
            yield (
                f"the {what} {spec.name!r} is {tensor.dtype}{list(tensor.shape)}, "
                f"not {spec.dtype}{list(spec.shape)}"
            )


def _fits(tensor: TensorInfo, spec: Spec) -> bool:
    same_rank = len(tensor.shape) == len(spec.shape)
    sizes = zip(tensor.shape, spec.shape, strict=False)
    same_shape = same_rank and all(size in (-1, wanted) for size, wanted in sizes)
    return same_shape and tensor.dtype in {spec.dtype, *_STORED_AS.get(spec.dtype, ())}
