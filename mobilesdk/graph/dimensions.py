"""Check what a contract says of sizes that differ from call to call, and complete it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mobilesdk.core.contract import Contract
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.sizes import judged_sizes, label, own_sizes, shape_at
from mobilesdk.data.resizing import resized_array
from mobilesdk.errors import ConversionFailed, InvalidContract
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.module import run_module
from mobilesdk.graph.symbols import program_shapes, varying_axes

_SMALLEST_EXPORTED = 2  # torch.export takes an axis of one element for one that never differs


def check_dimensions(contract: Contract) -> None:
    """Check the dimensions of a contract against its inputs.

    Raises:
        InvalidContract: One names an input or axis that there is not, two are about one axis, or
            the example has a size that is not allowed.
    """
    taken: dict[tuple[str, int], str] = {}
    for each in contract.dimensions:
        if not (each.name.isascii() and each.name.isidentifier()):
            raise InvalidContract(
                f"The dimension name {each.name!r} is not an identifier.",
                hint="use letters, digits and underscores, and no digit first.",
            )
        for name, axis in _axes(contract, each):
            other = taken.setdefault((name, axis), each.name)
            if other != each.name:
                raise InvalidContract(
                    f"Axis {axis} of the input {name!r} is of the dimensions {other!r} and "
                    f"{each.name!r}.",
                    hint="an axis has one size: name it in one of them.",
                )
    names = [each.name for each in contract.dimensions]
    if len(set(names)) != len(names):
        raise InvalidContract(
            f"Two dimensions have the same name: {', '.join(names)}.",
            hint="list all axes of one size in one dimension.",
        )


def _axes(contract: Contract, dimension: Dimension) -> list[tuple[str, int]]:
    """Give the axes of a dimension, each with its input, after checking their sizes."""
    shapes = {spec.name: spec.shape for spec in contract.inputs}
    found = [(name, axis) for name, axes in dimension.axes.items() for axis in axes]
    for name, axis in found:
        if name not in shapes or not 0 <= axis < len(shapes[name]):
            known = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise InvalidContract(
                f"The dimension {dimension.name!r} is axis {axis} of the input {name!r}, which "
                f"there is not: the inputs are {known}.",
                hint="name inputs as the contract does; axes count from 0, the batch.",
            )
    sizes = {shapes[name][axis] for name, axis in found}
    if len(sizes) > 1:
        raise InvalidContract(
            f"The axes of the dimension {dimension.name!r} have different sizes in the example: "
            f"{', '.join(map(str, sorted(sizes)))}.",
            hint="give example inputs that agree, or a dimension to each.",
        )
    if not dimension.allows(size := sizes.pop()):
        raise InvalidContract(
            f"The example has a size of {size} where the contract allows a {dimension}.",
            hint="give example inputs of a size that is allowed.",
        )
    return found


def export_example(contract: Contract, inputs: Leaves) -> Leaves:
    """Give example inputs to export with: of two elements or more along every dimension."""
    sizes = {
        name: min(max(size, _SMALLEST_EXPORTED), _largest(contract, name))
        for name, size in own_sizes(contract).items()
    }
    return resized_leaves(contract, inputs, sizes)


def _largest(contract: Contract, name: str) -> int:
    return next(each.max for each in contract.dimensions if each.name == name)


def resized_leaves(contract: Contract, inputs: Leaves, sizes: Mapping[str, int]) -> Leaves:
    """Give inputs in which dimensions have some sizes, by cutting or repeating what they hold."""
    tensors = (
        torch.from_numpy(resized_array(leaf.numpy(), shape_at(contract, spec, sizes)))
        for spec, leaf in zip(contract.inputs, inputs.tensors, strict=True)
    )
    return inputs.holding(tensors)


def run_at_all_sizes(module: torch.nn.Module, inputs: Leaves, contract: Contract) -> None:
    """Run a module at sizes from the smallest to the largest.

    Raises:
        InvalidModel: It raises at one of them.
    """
    for sizes in judged_sizes(contract):
        run_module(module, resized_leaves(contract, inputs, sizes), f"inputs of {label(sizes)}")


def with_varying_outputs(contract: Contract, program: torch.export.ExportedProgram) -> Contract:
    """Give the contract with the axes of outputs that follow from its dimensions.

    Raises:
        InvalidContract: It states others; or the model has states besides dimensions.
        ConversionFailed: A dimension has one size in the program.
    """
    if contract.dimensions and contract.states:
        raise InvalidContract(
            f"The model has states ({', '.join(each.name for each in contract.states)}), and the "
            f"contract the dimensions {', '.join(each.name for each in contract.dimensions)}.",
            hint="a sample of a model with states is a sequence of steps of one shape: leave the "
            "dimensions out.",
        )
    nodes = {node.name: node for node in program.graph.nodes}
    for spec, axes in zip(contract.inputs, program_shapes(program), strict=False):
        wanted = {axis for each in contract.dimensions for axis in each.axes.get(spec.name, ())}
        if wanted != set(axes):
            raise ConversionFailed(
                f"torch.export gives the input {spec.name!r} other sizes than the contract: axes "
                f"{sorted(axes)} differ from call to call, not {sorted(wanted)}.",
                hint="the model takes the size of its example for a constant.",
            )
    names = program.graph_signature.user_outputs
    outputs = tuple(
        spec.model_copy(update={"varying": varying_axes(nodes[name])})
        for spec, name in zip(contract.outputs, names, strict=False)
    )
    for stated, found in zip(contract.outputs, outputs, strict=True):
        if stated.varying not in ((), found.varying):
            raise InvalidContract(
                f"The contract says that axes {list(stated.varying)} of the output "
                f"{stated.name!r} vary, but in the model {list(found.varying)} do.",
                hint="leave varying out of the contract; it is read from the model.",
            )
    return contract.model_copy(update={"outputs": outputs})
