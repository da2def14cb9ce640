"""Write the recipe that ai-edge-quantizer follows, from the scheme planned for each weight.

A recipe is a list of rules, plain data; of the rules that match an op the last one holds. The
quantizer matches by searching a regular expression in the names of an op's outputs, so a loose one
also hits other ops: every rule for one op is anchored at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from mobilesdk.core.artifact import OpInfo
from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.flatbuffers.tflite import Operator, Subgraph
from mobilesdk.lowering.litert.nnapi import is_float_only
from mobilesdk.lowering.litert.norms import norm_operators

OpSet = Literal["builtin", "nnapi"]
Rule = dict[str, Any]

BLOCK_SIZES = (32, 64, 128, 256)
INT4_OPERATORS = frozenset({"CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP"})
WEIGHT_OPERATORS = INT4_OPERATORS | {"BATCH_MATMUL", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
# Policy "static_wi8_ai8" of ai-edge-quantizer 0.10 (default_policy.py), in the schema's names.
STATIC_OPERATORS = frozenset(
    """
    ADD AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CONCATENATION CONV_2D DEPTHWISE_CONV_2D
    DYNAMIC_UPDATE_SLICE EQUAL FULLY_CONNECTED GATHER GATHER_ND GELU HARD_SWISH LOGISTIC MAXIMUM
    MAX_POOL_2D MEAN MIRROR_PAD MUL NOT_EQUAL PACK PAD PADV2 REDUCE_MIN RELU RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQRT
    SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV UNPACK
    """.split()  # noqa: SIM905 - a list of forty names in quotes is harder to read
)
FLOAT_REASONS = {
    "DEQUANTIZE": "gives float32 to outputs, and to ops that stay float",
    "DIV": "an int8 divisor can round to 0, which ends the run",
    "EMBEDDING_LOOKUP": "looks up integer weights and gives float32",
}

_NORM = "part of a norm: 8 bits make small squares 0, and what they divide has no value then"
_CLIPS = "ai-edge-quantizer cannot round the constant that it compares with"

_EVERYWHERE = ".*"
_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}  # where the quantizer's name is another
_SCOPE_LIMIT = 10_000  # characters of an op's scope that the quantizer looks at


def build_recipe(
    subgraph: Subgraph,
    planned: Mapping[int, WeightScheme],
    activations: ActivationScheme,
    *,
    op_set: OpSet,
    float_io: bool,
) -> list[Rule]:
    """Give the rules for a float file.

    Args:
        subgraph: Its main subgraph.
        planned: Index of a constant → scheme of the weight that it holds.
        activations: Scheme of all activations.
        op_set: For ``nnapi``, ops that NNAPI has for float32 only stay float.
        float_io: Whether inputs and outputs stay float32 under a static scheme.
    """
    static = activations.mode == "static"
    rules = _static_rules(subgraph, activations, op_set, float_io) if static else []
    kept = float_operators(subgraph) if static else {}
    for operator in subgraph.operators:
        if operator.outputs[0] in kept:
            rules.append(_leave(_scope(subgraph, operator), operator.type))
        for index in operator.inputs:
            if index in planned:
                rules.extend(_weight_rule(subgraph, operator, planned[index], activations))
    return rules


def float_operators(subgraph: Subgraph) -> dict[int, str]:
    """Give the operators that stay float in a static file for what they do there.

    Args:
        subgraph: Main subgraph of the float file.

    Returns:
        Index of the value that an operator gives → why it stays float.
    """
    clipping = [
        operator
        for operator in subgraph.operators
        if operator.type == "MAXIMUM"
        and any(subgraph.tensors[index].data is not None for index in operator.inputs)
    ]
    reasons = {operator.outputs[0]: _CLIPS for operator in clipping}
    return reasons | {operator.outputs[0]: _NORM for operator in norm_operators(subgraph)}


def float_op_types(ops: Iterable[OpInfo], float_weight_types: Iterable[str]) -> dict[str, str]:
    """Give the op types that may stay float in a static file, each with its reason.

    Args:
        ops: Of the quantized file.
        float_weight_types: Types of ops whose weights are planned to stay float.
    """
    reasons = {}
    for op in ops:
        if op.dtype != "float32":
            continue
        if op.type in FLOAT_REASONS:
            reasons[op.type] = FLOAT_REASONS[op.type]
        elif op.type not in STATIC_OPERATORS:
            reasons[op.type] = "ai-edge-quantizer has no integer form of it"
        elif op.type in float_weight_types:
            reasons[op.type] = "its weight stays float"
    return dict(sorted(reasons.items()))


def nnapi_float_types(subgraph: Subgraph) -> dict[str, str]:
    """Give the op types of a file that stay float because NNAPI has no int8 form of them."""
    types = sorted(
        {operator.type for operator in subgraph.operators if is_float_only(operator.type)}
    )
    return dict.fromkeys(types, "NNAPI has it for float32 only")


def _static_rules(
    subgraph: Subgraph, activations: ActivationScheme, op_set: OpSet, float_io: bool
) -> list[Rule]:
    base = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
    rules = [_quantize(_EVERYWHERE, "*", base, activations), _leave(_EVERYWHERE, "DIV")]
    if op_set == "nnapi":
        rules += [
            _leave(_EVERYWHERE, _NAMES.get(name, name)) for name in nnapi_float_types(subgraph)
        ]
    if float_io:
        rules += [_leave(_EVERYWHERE, "INPUT"), _leave(_EVERYWHERE, "OUTPUT")]
    return rules


def _weight_rule(
    subgraph: Subgraph, operator: Operator, scheme: WeightScheme, activations: ActivationScheme
) -> list[Rule]:
    if operator.type not in WEIGHT_OPERATORS:
        return []
    scope = _scope(subgraph, operator)
    name = _NAMES.get(operator.type, operator.type)
    if scheme.encoding == "float":
        return [_leave(scope, name)] if scheme.bits == 32 else [_cast(scope, name)]
    if operator.type == "EMBEDDING_LOOKUP" and activations.mode == "static":
        return [_quantize(scope, name, scheme, ActivationScheme(mode="dynamic", bits=8))]
    return [_quantize(scope, name, scheme, activations)]


def _scope(subgraph: Subgraph, operator: Operator) -> str:
    """Give a pattern that matches one op only; ``$`` would allow a line break behind it."""
    names = "".join(f"{subgraph.tensors[index].name};" for index in operator.outputs)
    return rf"\A{re.escape(names[:_SCOPE_LIMIT])}\Z"


def _quantize(
    scope: str, operation: str, weight: WeightScheme, activations: ActivationScheme
) -> Rule:
    granularity = {"per_tensor": "TENSORWISE", "per_channel": "CHANNELWISE"}.get(
        weight.granularity, f"BLOCKWISE_{weight.block_size}"
    )
    config: dict[str, Any] = {
        "weight_tensor_config": {
            "num_bits": weight.bits,
            "symmetric": True,
            "granularity": granularity,
            "dtype": "INT",
        },
        "compute_precision": "FLOAT" if activations.mode == "float" else "INTEGER",
        "explicit_dequantize": activations.mode == "float",
    }
    if activations.mode == "static":
        config["activation_tensor_config"] = {
            "num_bits": activations.bits,
            "symmetric": activations.bits == 16,  # the kernels take no int16 zero points
            "granularity": "TENSORWISE",
            "dtype": "INT",
        }
    return _rule(scope, operation, "min_max_uniform_quantize", config)


def _cast(scope: str, operation: str) -> Rule:
    config = {
        "weight_tensor_config": {
            "num_bits": 16,
            "symmetric": True,
            "granularity": "TENSORWISE",
            "dtype": "FLOAT",
        },
        "compute_precision": "FLOAT",
        "explicit_dequantize": True,
    }
    return _rule(scope, operation, "float_casting", config)


def _leave(scope: str, operation: str) -> Rule:
    return _rule(scope, operation, "no_quantize", {})


def _rule(scope: str, operation: str, algorithm: str, config: dict[str, Any]) -> Rule:
    return {
        "regex": scope,
        "operation": operation,
        "algorithm_key": algorithm,
        "op_config": config,
    }
