"""Partial sums in float16: the same sums where nothing is rounded, other ones where it shows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.ops.registry import BLOCK_SIZE, find, known_ops
from mobilesdk.coreml.program import TensorType
from tests.coreml.calling import IOS, call

STEPS, WIDTH = 2, 4
RANDOM = torch.Generator().manual_seed(0)


def small(*shape: int) -> torch.Tensor:
    """Give multiples of a half, of which sums of products are exact in float16."""
    return torch.randint(-2, 3, shape, generator=RANDOM) / 2


def layer(gates: int) -> dict[str, Any]:
    return {
        "x": small(STEPS, 1, WIDTH),
        "initial_h": torch.zeros(1, WIDTH),
        "weight_ih": small(gates * WIDTH, WIDTH),
        "weight_hh": small(gates * WIDTH, WIDTH),
    }


SUMS: dict[str, dict[str, Any]] = {
    "conv": {"x": small(2, 4, 5, 6), "weight": small(6, 2, 2, 3), "bias": small(6), "groups": 2,
             "strides": (2, 1), "pad_type": "custom", "pad": (1, 0, 2, 1), "dilations": (1, 2)},
    "conv_transpose": {"x": small(2, 4, 3, 4), "weight": small(4, 3, 2, 3), "bias": small(6),
                       "groups": 2, "strides": (2, 3), "dilations": (2, 1), "pad_type": "custom",
                       "pad": (1, 0, 0, 1)},
    "einsum": {"values": [small(2, 3, 5, 4), small(2, 4, 5, 3)], "equation": "abcd, adce -> abe"},
    "gru": layer(3),
    "linear": {"x": small(3, 8), "weight": small(4, 8), "bias": small(4)},
    "lstm": {**layer(4), "initial_c": torch.zeros(1, WIDTH)},
    "matmul": {"x": small(3, 8), "y": small(8, 2),
               "results": (TensorType(ElementType.FLOAT16, (3, 2)),)},
    "rnn": {**layer(1), "activation": "linear"},
    "scaled_dot_product_attention": {"query": small(1, 3, 4), "key": small(1, 5, 4),
                                     "value": small(1, 5, 4)},
}  # fmt: skip
# Their products are of numbers that are not exact in float16.
ROUNDED = {"gru", "lstm", "scaled_dot_product_attention"}


def test_these_are_all_that_sum_products_so() -> None:
    taking = {name for name in known_ops() if BLOCK_SIZE in find(name, IOS).supplied}  # type: ignore[union-attr]
    assert taking == set(SUMS)


@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("op", SUMS)
def test_sums_that_float16_holds_are_the_same(op: str, count: int) -> None:
    limit = 4e-3 if op in ROUNDED else 0
    found = call(op, products_per_sum=count, **SUMS[op])
    assert_close(found, call(op, **SUMS[op]), rtol=0, atol=limit)


@pytest.mark.parametrize("op", SUMS)
def test_sums_are_rounded_on_the_way(op: str) -> None:
    given = {name: _odd(value) for name, value in SUMS[op].items()}
    found, whole = call(op, products_per_sum=1, **given), call(op, **given)
    for rounded, sums in zip(_listed(found), _listed(whole), strict=True):
        assert not torch.equal(rounded, sums)
        assert_close(rounded, sums, rtol=0.01, atol=0.02)


def _odd(value: Any) -> Any:
    """Give numbers near those of a tensor that are no float16."""
    if isinstance(value, list):
        return [_odd(item) for item in value]
    return value * 1.0007 + 0.0003 if isinstance(value, torch.Tensor) else value


def _listed(found: Any) -> list[torch.Tensor]:
    return list(found) if isinstance(found, tuple) else [found]
