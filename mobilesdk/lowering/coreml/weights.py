"""Find the weights of an exported program among the constants of a coremltools program."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mobilesdk.coreml.axes import input_axis, weight_axis


@dataclass(frozen=True)
class FoundWeight:
    """A weight as a constant of the ML Program.

    Attributes:
        constant: coremltools' operation.
        values: float32, in the constant's order of axes, before any cast.
        axes: Of the output channels and of the input channels; None where no op takes it that has
            channels, so that it must not be compressed.
    """

    constant: Any
    values: NDArray[np.float32]
    axes: tuple[int, int] | None

    @property
    def is_half(self) -> bool:
        """Whether the op that takes it computes in float16; not where its values would overflow."""
        return bool(self.constant.outputs[0].val.dtype == np.float16)


def weight_values(program: torch.export.ExportedProgram) -> dict[str, NDArray[np.float32]]:
    """Give every floating-point parameter, buffer and constant by its fully qualified name."""
    tensors = {**program.state_dict, **program.constants}
    return {
        name: tensor.detach().to(torch.float32).numpy()
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
    }


def find_weights(
    mil: Any, values: dict[str, NDArray[np.float32]], placeholders: dict[str, str]
) -> dict[str, FoundWeight]:
    """Find each weight by its value; equal values are told apart by the name.

    Args:
        mil: The coremltools program.
        values: Weight by fully qualified name.
        placeholders: Fully qualified name → name of the placeholder in the exported program, which
            coremltools begins the constant's name with.

    Returns:
        What was found; a weight that was merged with something else is missing.
    """
    by_size: dict[int, list[Any]] = defaultdict(list)
    for operation in mil.functions["main"].operations:
        if operation.op_type == "const" and operation.outputs[0].rank >= 2:
            by_size[int(np.prod(operation.outputs[0].shape))].append(operation)
    found: dict[str, FoundWeight] = {}
    for name, weight in values.items():
        prefix = placeholders[name]
        candidates = sorted(by_size[weight.size], key=lambda item: not item.name.startswith(prefix))
        matches = (_match(constant, weight) for constant in candidates)
        match = next((match for match in matches if match is not None), None)
        if match is not None:
            found[name] = match
    return found


def _match(constant: Any, weight: NDArray[np.float32]) -> FoundWeight | None:
    stored = constant.outputs[0].val
    if stored.dtype.kind != "f":
        return None
    for arranged in (weight, weight.T) if weight.ndim == 2 else (weight,):
        same_axes = [size for size in arranged.shape if size > 1] == [
            size for size in stored.shape if size > 1
        ]
        if same_axes and np.array_equal(arranged.astype(stored.dtype).ravel(), stored.ravel()):
            return FoundWeight(constant, arranged.reshape(stored.shape), _axes(constant))
    return None


def _axes(constant: Any) -> tuple[int, int] | None:
    """Give the axes of output and input channels, as the first op that has them takes it."""
    output = constant.outputs[0]
    for user in output.child_ops:
        for parameter, variable in user.inputs.items():
            if variable is not output:
                continue
            flag = getattr(user, f"transpose_{parameter}", None)
            transposed = flag is not None and bool(flag.val)
            axis = weight_axis(user.op_type, parameter, transposed=transposed)
            if axis is not None:
                return axis % output.rank, input_axis(axis) % output.rank
    return None
