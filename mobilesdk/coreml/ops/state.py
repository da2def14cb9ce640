"""States: tensors that outlive one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.program import TensorType


@dataclass
class State:
    """A state; operations replace its value and never write into it.

    Attributes:
        value: As carried.
        declared: Its type.
    """

    value: Tensor
    declared: TensorType


@contextmanager
def restored_on_failure(values: Iterable[Any]) -> Iterator[None]:
    """Give the states among values what they held before, if what is done meanwhile fails."""
    before = [(value, value.value) for value in values if isinstance(value, State)]
    try:
        yield
    except BaseException:
        for state, held in before:
            state.value = held
        raise


@op("read_state", kind="structural")
def read_state(*, input: State) -> Tensor:
    """Give the value of a state."""
    return input.value


@op("write_state", kind="structural")
def write_state(*, input: State, data: Tensor) -> None:
    """Replace the value of a state."""
    state = input.value
    if data.shape != state.shape or data.dtype is not state.dtype:
        raise OpError(
            f"{data.dtype} {list(data.shape)} for a state of {state.dtype} {list(state.shape)}"
        )
    is_part = data.untyped_storage().nbytes() > data.nbytes
    input.value = data.clone() if is_part else data  # the whole would stay with it
