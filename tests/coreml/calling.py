"""Operations called one by one, with arguments as the executor gives them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import find

IOS = 18


def call(name: str, *, ios: int = IOS, **arguments: Any) -> Any:
    """Call an operation as the operation set of an iOS version means it."""
    op = find(name, ios)
    assert op is not None
    return op.function(**arguments)


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def whole(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)
