"""Refuse an artifact that is wrong on its face, or takes and gives other things than its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, ImageInput, InputSpec, OutputSpec, StateSpec
from mobilesdk.core.naming import natural_order
from mobilesdk.core.sizes import flexibility_of, label, listed_sizes, sizes_of
from mobilesdk.errors import ArtifactInvalid

Spec = InputSpec | OutputSpec | StateSpec
AnySpec = TypeVar("AnySpec", InputSpec, OutputSpec, StateSpec, Spec)

_NAMED = 10
_NOT_FINITE_HINT = (
    "the file computes in float32, so the model holds these numbers itself: look for them with "
    "torch.isfinite, and mask with -1e4 in place of infinity."
)
_OVERFLOW_HINT = (
    "a number that float16 cannot hold (an attention mask of -1e38, say) becomes infinite: "
    "use -1e4 in the model, or float32 precision in the target."
)
_BUILD_HINT = "build it again from the model that the contract belongs to."
_IMAGE_HINT = (
    "state an input as ImageInput, with the mean and std that the package applies to the pixels; "
    "or convert the model again, with arrays (ct.TensorType) in place of images."
)
_STORED_AS = {
    "int64": frozenset({"int32"}),
    # Integers with their scale in the file, or numbers that are rounded as they pass.
    "float32": frozenset({"int8", "uint8", "int16", "float16"}),
}


def faults(info: ArtifactInfo) -> tuple[str, ...]:
    """Give what is wrong whoever made the artifact: its problems, and weights not finite.

    A weight that a problem names already is not told again.
    """
    weights = [weight for weight in info.weights if not weight.finite]
    return (
        *info.problems,
        *(
            f"the weight {weight.name} of {weight.op} holds numbers that are not finite"
            for weight in weights
            if not any(weight.name in problem for problem in info.problems)
        ),
    )


def enforce_sound(info: ArtifactInfo) -> None:
    """Pass an artifact whose inspection found nothing wrong.

    Raises:
        ArtifactInvalid: It has problems, or weights that are not finite; the first ten are named.
    """
    problems = faults(info)
    if not problems:
        return
    named = "\n  - ".join(problems[:_NAMED])
    more = f"\n  and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise ArtifactInvalid(
        f"The {info.format} file has {len(problems)} problem(s):\n  - {named}{more}",
        hint=advice(info),
    )


def advice(info: ArtifactInfo) -> str:
    """Tell what to do about numbers that are not finite; empty if there are none."""
    if not any("not finite" in fault for fault in faults(info)):
        return ""
    in_float16 = any(op.dtype == "float16" for op in info.ops)
    in_float16 |= any(weight.scheme.bits < 32 for weight in info.weights)
    return _OVERFLOW_HINT if in_float16 else _NOT_FINITE_HINT


def enforce_contract(info: ArtifactInfo, contract: Contract) -> None:
    """Pass an artifact that declares the inputs and outputs of its model, without running it.

    Raises:
        ArtifactInvalid: It declares others; all are named.
    """
    problems = contract_faults(info, contract)
    if problems:
        raise ArtifactInvalid(
            f"The {info.format} file contradicts the contract of the model: {'; '.join(problems)}.",
            hint=contract_hint(info, contract),
        )


def contract_faults(info: ArtifactInfo, contract: Contract) -> tuple[str, ...]:
    """Tell where the inputs and outputs that an artifact declares are not those of its model.

    Names are compared where the format keeps them; elsewhere the order of names counts. Integers
    may stand for int64 and, in a quantized file, for float32; float16 for float32; an image for an
    input that the contract prepares from one. Shapes are those of the contract, or among those that
    the file allows; where the contract has dimensions, the file allows the same sizes, and neither
    more nor fewer. The classes of a classifier are the labels of the contract, if it has any.
    States of the contract are states of the file, or inputs and outputs where it has no states.
    """
    outputs = _outputs(info, contract)
    whole = contract if info.states else contract.functional
    return (
        *_interface_problems("input", info.inputs, whole.inputs, info.keeps_names),
        *_size_problems(info, contract),
        *_interface_problems("output", outputs, whole.outputs, info.keeps_names),
        *_state_problems(info, contract),
        *_class_problems(info, contract),
    )


def _size_problems(info: ArtifactInfo, contract: Contract) -> Iterator[str]:
    """Compare the sizes that a file allows with the dimensions of the contract."""
    if info.signatures and contract.dimensions:
        yield from _signature_problems(info, contract)
        return
    for spec, tensor in _pairs(info.inputs, contract.inputs, keeps_names=info.keeps_names):
        wanted = flexibility_of(contract, spec)
        if wanted is None or tensor is None or not _fits(tensor, spec):
            continue
        if tensor.flexibility is None or not tensor.flexibility.declares(wanted):
            yield (
                f"the input {spec.name!r} takes {tensor.flexibility or list(tensor.shape)} in the "
                f"file, and {wanted} in the contract"
            )


def _signature_problems(info: ArtifactInfo, contract: Contract) -> Iterator[str]:
    """Compare signatures, of which there is one for each size, with the sizes of the contract."""
    missing = {label(sizes) for sizes in listed_sizes(contract)}
    if not missing:
        ranges = ", ".join(map(str, contract.dimensions))
        yield f"it has signatures for {len(info.signatures)} sizes, the contract has {ranges}"
        return
    for each in info.signatures:
        pairs = _pairs(each.inputs, contract.inputs, keeps_names=info.keeps_names)
        shapes = {spec.name: tensor.shape for spec, tensor in pairs if tensor is not None}
        sizes = sizes_of(contract, shapes) if len(shapes) == len(contract.inputs) else None
        if sizes is None:
            taken = ", ".join(str(list(tensor.shape)) for tensor in each.inputs)
            yield f"its signature {each.name!r} takes {taken}, sizes that the contract has not"
        else:
            missing.discard(label(sizes))
    yield from (f"it has no signature for {sizes}" for sizes in sorted(missing))


def _state_problems(info: ArtifactInfo, contract: Contract) -> Iterator[str]:
    if info.states and contract.states:
        yield from _interface_problems("state", info.states, contract.states, keeps_names=True)
    elif contract.states and len(info.inputs) == len(contract.inputs):
        yield f"it has no states, the contract {len(contract.states)}: a converter dropped them"


def contract_hint(info: ArtifactInfo, contract: Contract) -> str:
    """Say what to do about an artifact that contradicts its contract."""
    return _hint(contract_faults(info, contract), _outputs(info, contract), contract)


def _hint(problems: Sequence[str], outputs: Sequence[TensorInfo], contract: Contract) -> str:
    if any("is an image" in problem for problem in problems):
        return _IMAGE_HINT
    if any("no output named" in problem for problem in problems) and not contract.states:
        pairs = zip(outputs, contract.outputs, strict=True)
        stated = ", ".join(f'"{tensor.name}": "{spec.kind}"' for tensor, spec in pairs)
        return (
            "name the outputs as the file does, in the order of the model: "
            f"ModelSpec(outputs={{{stated}}})."
        )
    return _BUILD_HINT


def _outputs(info: ArtifactInfo, contract: Contract) -> tuple[TensorInfo, ...]:
    """Give the outputs, the probabilities of a classifier by the name in the contract."""
    classifier = info.classifier
    if classifier is None:
        return info.outputs
    name = classifier.name_in(contract.outputs, {tensor.name for tensor in info.outputs})
    return tuple(
        tensor.model_copy(update={"name": name})
        if tensor.name == classifier.probabilities
        else tensor
        for tensor in info.outputs
    )


def _class_problems(info: ArtifactInfo, contract: Contract) -> Iterator[str]:
    if info.classifier is None or contract.labels is None:
        return
    classes = tuple(map(str, info.classifier.classes))
    if classes == contract.labels:
        return
    pairs = enumerate(zip(classes, contract.labels, strict=False))
    where = [(place, *pair) for place, pair in pairs if pair[0] != pair[1]]
    if where:
        place, own, wanted = where[0]
        yield f"its class {place} is {own!r}, the contract's label {wanted!r}"
    else:
        yield f"it has {len(classes)} classes, the contract {len(contract.labels)} labels"


def _interface_problems(
    what: str, found: Sequence[TensorInfo], specs: Sequence[Spec], keeps_names: bool
) -> Iterator[str]:
    if len(found) != len(specs):
        ours, theirs = (", ".join(each.name for each in side) for side in (found, specs))
        yield (
            f"it has {len(found)} {what}s, the contract {len(specs)}: "
            f"{ours or 'none'} in the file, {theirs or 'none'} in the contract"
        )
        return
    for spec, tensor in _pairs(found, specs, keeps_names=keeps_names):
        if tensor is None:
            names = ", ".join(repr(each.name) for each in found)
            yield (
                f"it has no {what} named {spec.name!r}, only {names}; "
                f"the contract names {spec.name!r}, {spec.dtype}{list(spec.shape)}"
            )
        elif not _fits(tensor, spec):
            yield (
                f"the {what} {spec.name!r} is {_told(tensor)} in the file, "
                f"{spec.dtype}{list(spec.shape)} in the contract"
            )


def _pairs(
    found: Sequence[TensorInfo], specs: Sequence[AnySpec], *, keeps_names: bool
) -> Iterator[tuple[AnySpec, TensorInfo | None]]:
    """Pair what a contract names with what a file has, by name or by the order of names."""
    by_name = {tensor.name: tensor for tensor in found}
    in_order = sorted(found, key=lambda tensor: natural_order(tensor.name))
    for spec, placed in zip(specs, in_order, strict=False):
        yield spec, by_name.get(spec.name) if keeps_names else placed


def _told(tensor: TensorInfo) -> str:
    kind = f"an image, {tensor.color_layout} " if tensor.color_layout else ""
    return f"{kind}{tensor.dtype}{tensor.flexibility or list(tensor.shape)}"


def _fits(tensor: TensorInfo, spec: Spec) -> bool:
    if tensor.color_layout:
        return _is_prepared_from(tensor, spec)
    allows = tensor.allows(spec.shape)
    if isinstance(spec, OutputSpec) and spec.varying and len(tensor.shape) == len(spec.shape):
        allows = all(
            axis in spec.varying or size in (-1, own)
            for axis, (size, own) in enumerate(zip(tensor.shape, spec.shape, strict=True))
        )
    return allows and tensor.dtype in {
        spec.dtype,
        *_STORED_AS.get(spec.dtype, ()),
    }


def _is_prepared_from(image: TensorInfo, spec: Spec) -> bool:
    """Tell whether an input is one image of the contract, prepared; its colours are RGB there."""
    if not isinstance(spec, InputSpec) or not isinstance(spec.preparation, ImageInput):
        return False
    return spec.shape[0] == 1 and image.allows((*spec.preparation.size, 3))
