"""The programs that become the signatures of a file: one for each listed size of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.sizes import Sizes, listed_sizes, shape_at
from mobilesdk.data.resizing import resized, resized_array
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.lowering.litert.interpreter import DEFAULT_NAME


@dataclass(frozen=True)
class SizedProgram:
    """A program whose sizes are all numbers.

    Attributes:
        name: Of its signature.
        sizes: Dimension → its size here.
        program: Takes and gives tensors of these sizes.
    """

    name: str
    sizes: Sizes
    program: torch.export.ExportedProgram

    @property
    def input_free(self) -> frozenset[str]:
        """Names of the constants that meet other constants only: a converter computes with them."""
        signature = self.program.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        names |= signature.inputs_to_lifted_tensor_constants
        fixed: set[torch.fx.Node] = set()
        for node in self.program.graph.nodes:
            is_constant = node.op == "placeholder" and node.name in names
            is_computed = node.op == "call_function" and fixed.issuperset(node.all_input_nodes)
            if is_constant or is_computed:
                fixed.add(node)
        return frozenset(
            names[node.name]
            for node in fixed
            if node.op == "placeholder" and fixed.issuperset(node.users)
        )

    def inputs_of(
        self, sample: Mapping[str, NDArray[Any]], contract: Contract
    ) -> list[NDArray[Any]]:
        """Give a sample at these sizes, in the order of the contract."""
        values = resized(sample, contract, self.sizes) if self.sizes else sample
        return [values[spec.name] for spec in contract.inputs]


def signature_name(sizes: Mapping[str, int]) -> str:
    """Name a signature: ``height_64_width_96``."""
    return "_".join(f"{name}_{size}" for name, size in sizes.items()) or DEFAULT_NAME


def sized_programs(
    program: torch.export.ExportedProgram, contract: Contract
) -> tuple[SizedProgram, ...]:
    """Give a program for every combination of listed sizes, that of the example first.

    They share their weights. A program without symbols is given as it is.
    """
    if not contract.dimensions:
        return (SizedProgram(DEFAULT_NAME, {}, program),)
    module, examples = graph_module(program), program.example_inputs[0]
    found = []
    for sizes in listed_sizes(contract):
        inputs = [
            torch.from_numpy(resized_array(example.numpy(), shape_at(contract, spec, sizes)))
            for spec, example in zip(contract.inputs, examples, strict=True)
        ]
        found.append(SizedProgram(signature_name(sizes), sizes, export_program(module, inputs)))
    return tuple(found)
