"""States: tensors that outlive one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mobilesdk.coreml.ops.registry import op


@dataclass
class State:
    """A state; operations replace its value and never write into it."""

    value: Tensor


@op("read_state", kind="structural")
def read_state(*, input: Any) -> Tensor:
    """Give the value of a state."""
    value: Tensor = input.value
    return value


@op("write_state", kind="structural")
def write_state(*, input: Any, data: Tensor) -> None:
    """Replace the value of a state."""
    input.value = data
