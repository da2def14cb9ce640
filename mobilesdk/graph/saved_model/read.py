"""Make a module of torch from a SavedModel, and a run of TensorFlow to compare it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils import _pytree as pytree

from mobilesdk.core.contract import Contract
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.graph.drawn_example import draw_input, stated_shapes
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.framework_run import Run
from mobilesdk.graph.identifiers import unique_names
from mobilesdk.graph.saved_model.folder import GRAPH_FILE
from mobilesdk.graph.saved_model.graph import VARIABLES, FlatGraph, flatten_graph
from mobilesdk.graph.saved_model.module import SavedModelModule
from mobilesdk.graph.saved_model.ops import OPS
from mobilesdk.graph.saved_model.session import TensorFlowRun
from mobilesdk.graph.saved_model.signature import Signature, Tensor, read_signature
from mobilesdk.graph.saved_model.variables import read_variables


@dataclass(frozen=True)
class SavedModel:
    """A signature, taken as a module.

    Attributes:
        module: Of torch.
        inputs: Example inputs, with the names of the signature.
        output_names: Of the signature.
        run: What TensorFlow computes.
    """

    module: SavedModelModule
    inputs: Leaves
    output_names: tuple[str, ...]
    run: Run


def read_saved_model(
    folder: Path, signature: str, given: Contract | None, context: StepContext
) -> SavedModel:
    """Read a signature; before TensorFlow loads anything, every op that it needs is looked at.

    Args:
        folder: That `checked_files` has passed.
        signature: Its name; empty: ``serving_default``, or the only one.
        given: A contract, whose shapes are taken where those of the signature are open.
        context: Of the step.

    Raises:
        InvalidModel: It is damaged, has no such signature, or computes what cannot be read.
        FileRejected: It holds what no graph does.
    """
    chosen = read_signature(folder / GRAPH_FILE, signature)
    if not chosen.inputs:
        raise InvalidModel(
            f"The signature {chosen.name!r} of the SavedModel takes no inputs.",
            hint="let its function take the inputs of the model as arguments.",
        )
    graph = flatten_graph(chosen.graph, [output.tensor for output in chosen.outputs], OPS)
    variables = [node for node in graph.nodes if node.op in VARIABLES]
    values = read_variables(folder, chosen.graph, variables)
    inputs = _inputs(chosen, given, context.seed)
    fed = dict(zip(_fed(chosen, graph), inputs.tensors, strict=True))
    context.report("building the module")
    module = SavedModelModule(graph, fed, values)
    run = TensorFlowRun(
        graph.definition,
        [each.tensor for each in chosen.inputs],
        [each.tensor for each in chosen.outputs],
        values,
        context.threads,
    )
    names = tuple(unique_names((each.name for each in chosen.outputs), "_"))
    return SavedModel(module, inputs, names, run)


def _inputs(signature: Signature, given: Contract | None, seed: int) -> Leaves:
    names = tuple(unique_names((each.name for each in signature.inputs), "_"))
    stated = stated_shapes(names, given)
    generator = torch.Generator().manual_seed(seed)
    leaves = tuple(
        draw_input(
            f"The input {name!r} of the SavedModel",
            _known_rank(each),
            each.dtype,
            stated.get(name),
            generator,
        )
        for name, each in zip(names, signature.inputs, strict=True)
    )
    return Leaves(leaves, names, pytree.tree_structure(leaves))


def _known_rank(tensor: Tensor) -> tuple[int | None, ...]:
    if tensor.shape is None:
        raise InvalidModel(
            f"The input {tensor.name!r} of the SavedModel may have any number of axes.",
            hint="give its function an input_signature with shapes, and save the model again.",
        )
    return tensor.shape


def _fed(signature: Signature, graph: FlatGraph) -> list[str]:
    """Give the nodes of the graph that stand for the inputs."""
    ops = {node.name: node.op for node in graph.nodes}
    names = []
    for each in signature.inputs:
        name = each.tensor.removesuffix(":0")
        if ops.get(name, "Placeholder") not in ("Placeholder", "PlaceholderWithDefault"):
            raise InvalidModel(
                f"The input {each.name!r} of the signature is computed by {name!r}.",
                hint="let the signature begin with the placeholders of the graph.",
            )
        names.append(name)
    return names
