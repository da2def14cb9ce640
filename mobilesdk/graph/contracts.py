"""Write the contract of a model from what its factory says and what its tensors are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch

from mobilesdk.core.contract import (
    ArrayInput,
    AudioInput,
    BoxLayout,
    Contract,
    DType,
    ImageInput,
    InputSpec,
    MaskLayout,
    ModelSpec,
    OutputKind,
    OutputSpec,
    StateSpec,
    TokenInput,
)
from mobilesdk.errors import InvalidContract, InvalidModel
from mobilesdk.graph.dimensions import check_dimensions
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.output_layouts import check_layouts

_NAMES: dict[torch.dtype, DType] = {getattr(torch, name): name for name in get_args(DType)}
_OF_SINGLE_RUNS = ("boxes", "mask")


def make_contract(
    spec: ModelSpec, inputs: Leaves, outputs: Leaves, given: Contract | None
) -> Contract:
    """Write the contract.

    Args:
        spec: What the factory returned.
        inputs: The example inputs.
        outputs: What the module gives for them.
        given: A contract from a file. It is taken as it is, instead of the factory's; a family or
            labels that it leaves out come from the factory.

    Raises:
        InvalidContract: The contract contradicts itself or the tensors.
        InvalidModel: A tensor has a dtype that no phone format has.
    """
    contract = _from_factory(spec, inputs, outputs) if given is None else _completed(given, spec)
    _check_names("input", [each.name for each in contract.inputs])
    _check_names("output", [each.name for each in contract.outputs])
    _check_tensors("input", contract.inputs, inputs)
    _check_tensors("output", contract.outputs, outputs)
    for each in contract.inputs:
        _check_preparation(each)
    _check_labels(contract)
    check_layouts(contract)
    check_dimensions(contract)
    return contract


def with_states(contract: Contract, states: Mapping[str, torch.Tensor]) -> Contract:
    """Give the contract with the states of the model.

    Args:
        contract: Of the model; one from a file may state them.
        states: Name → zeros, in the order of the program.

    Raises:
        InvalidContract: It states others, two names are the same, or an output is boxes or a mask.
        InvalidModel: A state has a dtype that no phone format has.
    """
    found = tuple(
        StateSpec(name=name, shape=tuple(zeros.shape), dtype=_dtype(zeros, name))
        for name, zeros in states.items()
    )
    if contract.states and contract.states != found:
        told = ", ".join(f"{each.name} {each.dtype}{list(each.shape)}" for each in found)
        raise InvalidContract(
            f"The states of the contract are not those of the model: {told or 'it has none'}.",
            hint="leave states out of the contract; they are read from the model.",
        )
    for each in contract.outputs if found else ():
        if each.kind in _OF_SINGLE_RUNS:
            raise InvalidContract(
                f"The output {each.name!r} is of the kind {each.kind!r}, whose figures are of "
                "single runs; samples of a model with states are sequences.",
                hint='give it the kind "other".',
            )
    complete = contract.model_copy(update={"states": found})
    _check_names("input or state", [each.name for each in complete.functional.inputs])
    _check_names("output or state", [each.name for each in complete.functional.outputs])
    return complete


def check_outputs(program: torch.export.ExportedProgram, contract: Contract) -> None:
    """Refuse outputs that nothing computes: runtimes give each output memory that an op fills.

    Args:
        program: Flat, in the contract's order.
        contract: Names of inputs and outputs.

    Raises:
        InvalidModel: An output is an input, the same value as an output before it, or a constant.
    """
    nodes = {node.name: node for node in program.graph.nodes}
    signature = program.graph_signature
    known = {
        nodes[value]: f"the input {spec.name!r}"
        for value, spec in zip(signature.user_inputs, contract.inputs, strict=True)
    }
    for value, spec in zip(signature.user_outputs, contract.outputs, strict=True):
        node = nodes[value]
        while node.target is torch.ops.aten.clone.default:
            node = node.args[0]
        if node in known:
            raise InvalidModel(
                f"The output {spec.name!r} is {known[node]} itself, and files for phones give no "
                "value twice.",
                hint=f"leave it out of what forward returns: the app has {known[node]} already.",
            )
        known[node] = f"the output {spec.name!r}"
    _refuse_constants(program, contract)


def _refuse_constants(program: torch.export.ExportedProgram, contract: Contract) -> None:
    varying = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        if any(source.name in varying for source in node.all_input_nodes):
            varying.add(node.name)
    for value, spec in zip(program.graph_signature.user_outputs, contract.outputs, strict=True):
        if value not in varying:
            raise InvalidModel(
                f"The output {spec.name!r} depends on no input: it is the same every time.",
                hint="leave it out of what forward returns, and keep its value in the app.",
            )


def _from_factory(spec: ModelSpec, inputs: Leaves, outputs: Leaves) -> Contract:
    preparations = _by_leaf("inputs", spec.inputs, inputs, ArrayInput())
    kinds = _by_leaf("outputs", spec.outputs, outputs, "other")
    _check_kinds(spec.outputs)
    return Contract(
        inputs=tuple(
            InputSpec(
                name=name,
                shape=tuple(leaf.shape),
                dtype=_dtype(leaf, name),
                preparation=preparation,
            )
            for (name, preparation), leaf in zip(preparations, inputs.tensors, strict=True)
        ),
        outputs=tuple(
            OutputSpec(
                name=name,
                shape=tuple(leaf.shape),
                dtype=_dtype(leaf, name),
                kind=kind.kind if isinstance(kind, BoxLayout | MaskLayout) else kind,
                layout=kind if isinstance(kind, BoxLayout | MaskLayout) else None,
            )
            for (name, kind), leaf in zip(kinds, outputs.tensors, strict=True)
        ),
        dimensions=tuple(spec.dimensions),
        labels=spec.labels,
        family=spec.family,
    )


def _by_leaf(
    what: str, stated: Mapping[str, Any], leaves: Leaves, default: Any
) -> list[tuple[str, Any]]:
    """Pair each leaf with what is stated for it, in order; names come from the statement."""
    if not stated:
        return [(name, default) for name in leaves.names]
    if len(stated) != len(leaves.names):
        raise InvalidContract(
            f"ModelSpec.{what} names {len(stated)} ({', '.join(stated)}), but the model has "
            f"{len(leaves.names)} ({', '.join(leaves.names)}).",
            hint=f"name every one of the {what}, in order, or none.",
        )
    return list(stated.items())


def _check_kinds(stated: Mapping[str, OutputKind | BoxLayout | MaskLayout]) -> None:
    allowed = get_args(OutputKind)
    for name, kind in stated.items():
        if kind not in allowed and not isinstance(kind, BoxLayout | MaskLayout):
            raise InvalidContract(
                f"The output {name!r} is of the kind {kind!r}, which does not exist.",
                hint=f"use one of {', '.join(allowed)}.",
            )


def _completed(given: Contract, spec: ModelSpec) -> Contract:
    return given.model_copy(
        update={
            "labels": spec.labels if given.labels is None else given.labels,
            "family": spec.family if given.family is None else given.family,
        }
    )


def _dtype(tensor: torch.Tensor, name: str) -> DType:
    if tensor.dtype not in _NAMES:
        raise InvalidModel(
            f"{name!r} is {_torch_name(tensor.dtype)}, which no phone format takes.",
            hint=f"use one of {', '.join(get_args(DType))}; for weights call module.float().",
        )
    return _NAMES[tensor.dtype]


def _torch_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_names(kind: str, names: Sequence[str]) -> None:
    for name in names:
        if not (name.isascii() and name.isidentifier()):
            raise InvalidContract(
                f"The {kind} name {name!r} is not an identifier.",
                hint="use letters, digits and underscores, and no digit first.",
            )
        if names.count(name) > 1:
            raise InvalidContract(
                f"Two {kind}s are named {name!r}.", hint=f"give every {kind} a name of its own."
            )


def _check_tensors(kind: str, stated: Sequence[InputSpec | OutputSpec], leaves: Leaves) -> None:
    if len(stated) != len(leaves.tensors):
        raise InvalidContract(
            f"The contract has {len(stated)} {kind}s, the model {len(leaves.tensors)} "
            f"({', '.join(leaves.names)}).",
            hint=f"list every {kind} of the model, in its order.",
        )
    for each, leaf in zip(stated, leaves.tensors, strict=True):
        actual = (tuple(leaf.shape), _dtype(leaf, each.name))
        if (each.shape, each.dtype) != actual:
            raise InvalidContract(
                f"The contract says that {kind} {each.name!r} is {each.dtype}{list(each.shape)}, "
                f"but in the model it is {actual[1]}{list(actual[0])}.",
                hint="correct the contract, or give example inputs of the shape that it states.",
            )


def _check_preparation(given: InputSpec) -> None:
    preparation = given.preparation
    if isinstance(preparation, ImageInput):
        height, width = preparation.size
        image = {"NCHW": (3, height, width), "NHWC": (height, width, 3)}[preparation.layout]
        if given.shape[1:] != image or given.dtype not in ("float32", "float16"):
            raise InvalidContract(
                f"Input {given.name!r} is {given.dtype}{list(given.shape)}, but an image of "
                f"{height} by {width} pixels in {preparation.layout} is float32[1, "
                f"{', '.join(map(str, image))}].",
                hint="make size (height, width) and layout of ImageInput fit the example input.",
            )
    if isinstance(preparation, AudioInput):
        _check_audio(given, preparation)
    if isinstance(preparation, TokenInput) and given.dtype not in ("int64", "int32"):
        raise InvalidContract(
            f"Input {given.name!r} is {given.dtype}, but token ids are int64 or int32.",
            hint="give integer example inputs, or describe the input as ArrayInput().",
        )


def _check_audio(given: InputSpec, audio: AudioInput) -> None:
    shapes: set[tuple[int, ...]] = {(1, audio.channels)} | (
        {(1,)} if audio.channels == 1 else set()
    )
    if given.shape[:-1] not in shapes or given.dtype not in ("float32", "float16"):
        mono = " or float32[1, samples]" if audio.channels == 1 else ""
        raise InvalidContract(
            f"Input {given.name!r} is {given.dtype}{list(given.shape)}, but sound of "
            f"{audio.channels} channel(s) is float32[1, {audio.channels}, samples]{mono}.",
            hint="make channels of AudioInput fit the example input.",
        )


def _check_labels(contract: Contract) -> None:
    if contract.labels is None:
        return
    classes = [o.shape[-1] for o in contract.outputs if o.kind == "classification" and o.shape]
    if len(contract.labels) not in classes:
        raise InvalidContract(
            f"There are {len(contract.labels)} labels, but classification outputs with "
            f"{classes or 'no'} classes.",
            hint="give one label per class, and mark the output as classification.",
        )
