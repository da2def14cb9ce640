"""Which ops of a statically quantized program may keep float activations, and why.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Collection

from mobilesdk.core.artifact import ArtifactInfo, OpInfo
from mobilesdk.core.scheme import WeightRole

_INT8_KERNELS = frozenset(
    {
        "XNNAdd",
        "XNNConv2d",
        "XNNConvTranspose2d",
        "XNNDepthwiseConv2d",
        "XNNFullyConnected",
        "XNNGlobalAvgPooling2d",
        "XNNMultiply",
        "XNNStaticConstantPad",
        "XNNSubtract",
    }
)
_MOVES = frozenset(
    {
        "XNNClamp",
        "XNNConcatenate2",
        "XNNConcatenate3",
        "XNNConcatenate4",
        "XNNConcatenate5",
        "XNNMaxPooling2d",
        "XNNStaticReshape",
        "XNNStaticSlice",
        "XNNStaticTranspose",
    }
)
_OUTSIDE_INT8 = (
    "aten::convolution",
    "aten::linear",
    "aten::addmm",
    "aten::mm",
    "aten::add",
    "aten::mul",
)


_ROLE_OPS = {
    "conv": "XNNConv2d",
    "depthwise": "XNNDepthwiseConv2d",
    "conv_transpose": "XNNConvTranspose2d",
    "linear": "XNNFullyConnected",
}


def float_op_types(info: ArtifactInfo, float_roles: Collection[WeightRole]) -> dict[str, str]:
    """Give the types of ops that rightly compute in float32 in a static program, with reasons.

    A type that XNNPACK has an int8 kernel for is not among them, so that such an op that stayed
    float by mistake is found. Ops that only move values are, when the program has float ops whose
    values they can move.

    Args:
        info: What is in the written file.
        float_roles: Roles of the weights that are planned as float.
    """
    float_weight_ops = {_ROLE_OPS[role] for role in float_roles if role in _ROLE_OPS}
    reasons = {
        "XNNConvert": "converts between float32 and int8 at the borders of the int8 part",
    }
    floats = [op for op in info.ops if op.dtype == "float32"]
    for op in floats:
        if op.type in _MOVES or op.type in reasons:
            continue
        if not _has_int8_kernel(op):
            reasons[op.type] = "has no int8 kernel"
        elif op.type in float_weight_ops:
            reasons[op.type] = "its weight is planned as float32"
    if len(reasons) > 1:
        moving = {op.type for op in floats} & _MOVES
        reasons |= dict.fromkeys(moving, "moves values between ops without an int8 kernel")
    return dict(sorted(reasons.items()))


def _has_int8_kernel(op: OpInfo) -> bool:
    if op.delegate:
        return op.type in _INT8_KERNELS
    return op.type.rpartition(".")[0] in _OUTSIDE_INT8
