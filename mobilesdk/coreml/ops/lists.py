"""Lists of tensors of one shape; operations give new lists."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mobilesdk.coreml.ops.arguments import Ints, Values, ints
from mobilesdk.coreml.ops.axes import check_lengths
from mobilesdk.coreml.ops.elementwise_unary import named_element
from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room
from mobilesdk.coreml.precision import carrier


@dataclass(frozen=True)
class TensorList:
    """A list; elements that were never written are zero, or None if their shape is not known."""

    items: tuple[Tensor | None, ...]

    def at(self, index: int) -> Tensor:
        """Give an element.

        Raises:
            OpError: There is none, or nothing is known of it.
        """
        if not 0 <= index < len(self.items):
            raise OpError(f"element {index} of a list of {len(self.items)}")
        item = self.items[index]
        if item is None:
            raise OpError(f"element {index} of a list was never written and has no known shape")
        return item

    def replaced(self, index: int, value: Tensor, max_elements: int) -> TensorList:
        """Give the list with another element; it grows if the index lies after its end."""
        check_room([index + 1, value.numel()], max_elements)
        if index < 0:
            raise OpError(f"element {index} of a list")
        missing = index + 1 - len(self.items)
        filler = [torch.zeros_like(value)] * missing
        items = [*self.items, *filler]
        items[index] = value
        return TensorList(tuple(items))


@op("make_list", kind="structural")
def make_list(
    *,
    elem_shape: Values,
    init_length: int = 1,
    dynamic_length: bool = True,
    dtype: str = "fp32",
    max_elements: int = MAX_ELEMENTS,
) -> TensorList:
    """Give a list of zeros; a text as a size stands for one that is known only later."""
    del dynamic_length  # a list grows when something is written after its end
    if not all(isinstance(size, Tensor) for size in elem_shape):
        check_room([init_length], max_elements)
        return TensorList((None,) * init_length)
    shape = ints(elem_shape)
    check_room([init_length, *shape], max_elements)
    return TensorList((torch.zeros(shape, dtype=carrier(named_element(dtype))),) * init_length)


@op("list_length", kind="structural")
def list_length(*, ls: TensorList) -> Tensor:
    """Give the number of elements."""
    return torch.tensor(len(ls.items), dtype=torch.int32)


@op("list_read", kind="structural")
def list_read(*, ls: TensorList, index: int) -> Tensor:
    """Give an element."""
    return ls.at(index)


@op("list_write", kind="structural")
def list_write(
    *, ls: TensorList, index: int, value: Tensor, max_elements: int = MAX_ELEMENTS
) -> TensorList:
    """Replace an element."""
    return ls.replaced(index, value, max_elements)


@op("list_gather", kind="structural")
def list_gather(*, ls: TensorList, indices: Ints, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """Give elements joined along a new first axis."""
    chosen = [ls.at(index) for index in indices]
    check_room([sum(item.numel() for item in chosen)], max_elements)
    return torch.stack(chosen)


@op("list_scatter", kind="structural")
def list_scatter(
    *, ls: TensorList, indices: Ints, value: Tensor, max_elements: int = MAX_ELEMENTS
) -> TensorList:
    """Replace elements with the parts of a tensor along its first axis."""
    check_lengths(value.shape[0] if value.dim() else 0, "elements", indices=indices)
    for index, part in zip(indices, value, strict=True):
        ls = ls.replaced(index, part, max_elements)
    return ls
