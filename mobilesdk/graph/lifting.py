"""Turn the buffers that a model changes into inputs and outputs, and back into buffers.

Between a frontend and an exporter a program is functional: each state is an input, and its new
value an output, behind those of the model. So every rewrite and every compressor works on models
with states as on others, and a write cannot get lost: it is a result. An exporter whose format has
states puts the buffers back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx.node import Node

from mobilesdk.core.contract import Contract
from mobilesdk.errors import ConversionFailed, InvalidModel
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.graph.rewriting import get_tensor

_COPY = torch.ops.aten.copy_.default


def buffers_now(module: torch.nn.Module) -> dict[str, Tensor]:
    """Give copies of all buffers of a module, by fully qualified name."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


@contextmanager
def kept_buffers(module: torch.nn.Module) -> Iterator[None]:
    """Leave the buffers of a module as they were, whatever happens inside."""
    before = [
        (owner, name, buffer, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for owner, name, buffer, value in before:
            setattr(owner, name, buffer)
            buffer.copy_(value)


def lift_states(
    program: torch.export.ExportedProgram, first_values: Mapping[str, Tensor]
) -> tuple[torch.export.ExportedProgram, dict[str, Tensor]]:
    """Make an input and an output of every buffer that a program changes.

    Args:
        program: Flat; changes nothing but its buffers.
        first_values: Of the buffers of the module, by fully qualified name.

    Returns:
        The functional program and its states in the order of their inputs, which is that of the
        buffers: a name, which is that of the buffer with underscores for dots, and zeros. The
        program itself if it has none.

    Raises:
        InvalidModel: A state does not start at zeros, which is where runtimes start it.
    """
    mutated = set(program.graph_signature.buffers_to_mutate.values())
    changed = [name for name in first_values if name in mutated]
    if not changed:
        return program, {}
    for name in changed:
        _check_first_value(name, first_values[name])
    states = {_identifier(name): torch.zeros_like(first_values[name]) for name in changed}
    module = graph_module(program)
    placeholders = [_lift(module, *pair) for pair in zip(changed, states, strict=True)]
    new_values = [_taken_write(module, node) for node in placeholders]
    output = module.graph.output_node()
    output.args = ((*output.args[0], *new_values),)
    functional = torch.fx.GraphModule(module, module.graph)
    inputs = (*program.example_inputs[0], *states.values())
    return export_program(functional, inputs), states


def with_buffers(module: torch.fx.GraphModule, contract: Contract) -> torch.fx.GraphModule:
    """Put the states of a functional module back as buffers that it changes.

    Args:
        module: Takes and gives states behind its other inputs and outputs; changed.
        contract: Of the model.

    Returns:
        A module that takes the inputs and gives the outputs of the contract. Buffers have the
        names of the states, hold zeros, and are written at the end.

    Raises:
        ConversionFailed: A part of the model has the name of a state.
    """
    if not contract.states:
        return module
    placeholders = module.graph.find_nodes(op="placeholder")[len(contract.inputs) :]
    output = module.graph.output_node()
    results = output.args[0]
    buffers: list[Node] = []
    for state, node in zip(contract.states, placeholders, strict=True):
        if hasattr(module, state.name):
            raise ConversionFailed(
                f"The model has a part and a state of the name {state.name!r}.",
                hint="rename one of them.",
            )
        zeros = torch.zeros(state.shape, dtype=getattr(torch, state.dtype))
        module.register_buffer(state.name, zeros)
        buffers.append(_replace(module, node, state.name))
    with module.graph.inserting_before(output):
        for buffer, value in zip(buffers, results[len(contract.outputs) :], strict=True):
            module.graph.call_function(_COPY, (buffer, value))
    output.args = (tuple(results[: len(contract.outputs)]),)
    return torch.fx.GraphModule(module, module.graph)


def stateful_program(
    program: torch.export.ExportedProgram, contract: Contract
) -> torch.export.ExportedProgram:
    """Put the states of a functional program back as buffers that it changes.

    Args:
        program: Stays as it is.
        contract: Of the model.

    Returns:
        The program itself if the model has no states.

    Raises:
        ConversionFailed: A part of the model has the name of a state.
    """
    if not contract.states:
        return program
    module = with_buffers(graph_module(program), contract)
    return export_program(module, program.example_inputs[0][: len(contract.inputs)])


def single_runs(
    program: torch.export.ExportedProgram,
    contract: Contract,
    sequences: Iterable[Mapping[str, NDArray[Any]]],
) -> Iterator[tuple[Tensor, ...]]:
    """Give one run out of each sequence: a later step each time, with the states that it finds.

    Args:
        program: Functional.
        contract: Of the model.
        sequences: Input name → ``[steps, *shape]``.

    Returns:
        Inputs of the program: those of the contract, then the states.
    """
    module = graph_module(program)
    for place, sample in enumerate(sequences):
        step_count = len(sample[contract.inputs[0].name])
        states = tuple(
            torch.zeros(state.shape, dtype=getattr(torch, state.dtype)) for state in contract.states
        )
        for step in range(place % step_count + 1):
            inputs = (torch.tensor(sample[spec.name][step]) for spec in contract.inputs)
            run = (*inputs, *states)
            states = module(*run)[len(contract.outputs) :]
        yield run


def _check_first_value(name: str, value: Tensor) -> None:
    if bool(torch.any(value != 0)):
        raise InvalidModel(
            f"The buffer {name!r} changes from call to call, and does not start at zeros.",
            hint="start it at zeros, as phones start states: store what it differs by as a "
            "constant, and add that where the buffer is read.",
        )


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _lift(module: torch.fx.GraphModule, buffer: str, state: str) -> Node:
    """Put one placeholder, behind the others, in the place of a buffer wherever it is taken."""
    reads = [n for n in module.graph.find_nodes(op="get_attr") if n.target == buffer]
    value = get_tensor(module, reads[0])
    last = module.graph.find_nodes(op="placeholder")[-1]
    with module.graph.inserting_after(last):
        placeholder = module.graph.placeholder(state)
    placeholder.meta["val"] = value
    for node in reads:
        node.replace_all_uses_with(placeholder)
        module.graph.erase_node(node)
    return placeholder


def _taken_write(module: torch.fx.GraphModule, state: Node) -> Node:
    """Take the write of a state out of the graph; give what was written."""
    write = next(n for n in state.users if n.target is _COPY and n.args[0] is state)
    value: Node = write.args[1]
    module.graph.erase_node(write)
    return value


def _replace(module: torch.fx.GraphModule, node: Node, name: str) -> Node:
    with module.graph.inserting_before(node):
        buffer = module.graph.get_attr(name)
    buffer.meta.update(node.meta)
    node.replace_all_uses_with(buffer)
    module.graph.erase_node(node)
    return buffer
