"""Ops written so that XNNPACK takes them: the same numbers, by other ops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module
from mobilesdk.lowering.xnnpack.rewrites import rewrite_for_xnnpack

Function = Callable[[Tensor], Tensor]
LOWER = torch.ones(6, 6).tril()


class Module(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.function(x),)


def rewritten(function: Function) -> tuple[set[str], Tensor, Tensor]:
    """Give the ops after rewriting, what they compute, and what they should."""
    x = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    program = prepare(export_program(Module(function).eval(), (x,)))
    module = graph_module(program)
    rewrite_for_xnnpack(module)
    ops = {
        str(node.target).removeprefix("aten.").partition(".")[0]
        for node in module.graph.nodes
        if node.op == "call_function"
    }
    return ops, module(x)[0], function(x)


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda x: F.normalize(x, dim=1), {"pow", "sum", "sqrt", "clamp_min", "div"}),
        (lambda x: torch.linalg.vector_norm(x), {"pow", "sum", "sqrt"}),
        (lambda x: torch.linalg.vector_norm(x, dim=(1, 2)), {"pow", "sum", "sqrt"}),
        (lambda x: F.interpolate(x, scale_factor=2), {"reshape", "cat"}),
        (lambda x: F.interpolate(x, size=(18, 8)), {"reshape", "cat"}),
        (lambda x: F.interpolate(x, size=(6, 24)), {"reshape", "cat"}),
        (lambda x: x[:, -1], {"slice", "reshape"}),
        (lambda x: x.chunk(2, 1)[1], {"slice"}),
        (lambda x: torch.split(x, [1, 5], dim=-2)[1], {"slice"}),
        (lambda x: x.unbind(1)[2], {"slice", "reshape"}),
        (lambda x: x.mean((2, 3)), {"mean", "reshape"}),
        (lambda x: F.hardsigmoid(x), {"add", "hardtanh", "mul"}),
    ],
)
def test_ops_without_kernels_are_written_with_ones_that_have_them(
    function: Function, ops: set[str]
) -> None:
    found, value, wanted = rewritten(function)
    assert found == ops
    torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1),
        lambda x: F.scaled_dot_product_attention(x, x[:, :, :3], x[:, :, 3:, :5], scale=0.3),
        lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1, is_causal=True),
        lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1, LOWER.log().clamp(min=-1e4)),
    ],
)
def test_attention_is_products_and_a_softmax(function: Function) -> None:
    found, value, wanted = rewritten(function)
    assert {"bmm", "softmax"} <= found
    assert found <= {"bmm", "softmax", "mul", "add", "permute", "reshape", "slice"}
    torch.testing.assert_close(value, wanted)


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: F.interpolate(x, size=(9, 8)), "upsample_nearest2d"),
        (lambda x: F.interpolate(x, scale_factor=6), "upsample_nearest2d"),
        (lambda x: F.normalize(x, dim=1, p=1.0), "linalg_vector_norm"),
        (
            lambda x: F.scaled_dot_product_attention(x, x, x, LOWER.bool()),
            "scaled_dot_product_attention",
        ),
    ],
)
def test_what_would_compute_something_else_is_left_alone(function: Function, op: str) -> None:
    found, value, wanted = rewritten(function)
    assert op in found
    torch.testing.assert_close(value, wanted)
