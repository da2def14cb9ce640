"""Operations of Android's Neural Networks API that a LiteRT file can use, as data.

The API has been deprecated since Android 15 (API level 35). It grew with Android 8.1 (27,
NNAPI 1.0), 9 (28, 1.1), 10 (29, 1.2) and 11 (30, 1.3). A phone older than an operation's level runs
it on the CPU. int8 tensors, and weights with one scale per channel, need 29.

Source: the checks of ``NNAPIDelegateKernel::Validate`` in TensorFlow's
``tensorflow/lite/delegates/nnapi/nnapi_delegate.cc``, which decides what a phone is given.
"""

from __future__ import annotations

from mobilesdk.flatbuffers.tflite import Subgraph, TFLiteModel

MAX_RANK = 4

# Operator → API level from which its float32 and its int8 form are taken; 0: never.
NNAPI_LEVELS: dict[str, tuple[int, int]] = {
    "ABS": (29, 0),
    "ADD": (27, 29),
    "ARG_MAX": (29, 29),
    "ARG_MIN": (29, 29),
    "AVERAGE_POOL_2D": (27, 29),
    "BATCH_TO_SPACE_ND": (28, 29),
    "CAST": (29, 30),
    "CONCATENATION": (27, 29),
    "CONV_2D": (27, 29),
    "DEPTHWISE_CONV_2D": (27, 29),
    "DEPTH_TO_SPACE": (27, 29),
    "DEQUANTIZE": (29, 29),
    "DIV": (28, 0),
    "ELU": (30, 0),
    "EMBEDDING_LOOKUP": (27, 0),
    "EQUAL": (29, 29),
    "EXP": (29, 0),
    "EXPAND_DIMS": (29, 29),
    "FILL": (30, 0),
    "FLOOR": (27, 0),
    "FULLY_CONNECTED": (27, 29),
    "GATHER": (29, 29),
    "GREATER": (29, 29),
    "GREATER_EQUAL": (29, 29),
    "HARD_SWISH": (27, 29),
    "L2_NORMALIZATION": (27, 29),
    "L2_POOL_2D": (27, 0),
    "LEAKY_RELU": (29, 29),
    "LESS": (29, 29),
    "LESS_EQUAL": (29, 29),
    "LOG": (29, 0),
    "LOGISTIC": (27, 29),
    "LOG_SOFTMAX": (29, 0),
    "MAXIMUM": (29, 29),
    "MAX_POOL_2D": (27, 29),
    "MEAN": (28, 29),
    "MINIMUM": (29, 29),
    "MUL": (27, 29),
    "NEG": (29, 0),
    "NOT_EQUAL": (29, 29),
    "PACK": (30, 30),
    "PAD": (28, 29),
    "PADV2": (29, 29),
    "POW": (29, 0),
    "PRELU": (29, 29),
    "QUANTIZE": (29, 30),
    "REDUCE_MAX": (29, 29),
    "REDUCE_MIN": (29, 29),
    "REDUCE_PROD": (29, 0),
    "RELU": (27, 29),
    "RELU6": (27, 29),
    "RELU_N1_TO_1": (27, 29),
    "RESHAPE": (27, 29),
    "RESIZE_BILINEAR": (27, 29),
    "RESIZE_NEAREST_NEIGHBOR": (29, 29),
    "RSQRT": (29, 0),
    "SELECT": (29, 29),
    "SIN": (29, 0),
    "SLICE": (29, 29),
    "SOFTMAX": (27, 29),
    "SPACE_TO_BATCH_ND": (28, 29),
    "SPACE_TO_DEPTH": (27, 29),
    "SPLIT": (29, 30),
    "SPLIT_V": (30, 30),
    "SQRT": (29, 0),
    "SQUARED_DIFFERENCE": (28, 30),
    "SQUEEZE": (28, 29),
    "STRIDED_SLICE": (28, 29),
    "SUB": (28, 29),
    "SUM": (29, 0),
    "TANH": (27, 29),
    "TILE": (29, 29),
    "TOPK_V2": (29, 29),
    "TRANSPOSE": (28, 29),
    "TRANSPOSE_CONV": (29, 29),
}


def is_float_only(operator: str) -> bool:
    """Tell whether NNAPI has an operator for float32 and not for int8."""
    float_level, int8_level = NNAPI_LEVELS.get(operator, (0, 0))
    return float_level > 0 and int8_level == 0


def outside_nnapi(model: TFLiteModel) -> list[str]:
    """Name every operator that NNAPI cannot take, as ``TYPE of dtype (reason) x count``."""
    faults: dict[str, int] = {}
    for subgraph in model.subgraphs:
        for position in range(len(subgraph.operators)):
            fault = _fault(subgraph, position)
            if fault:
                faults[fault] = faults.get(fault, 0) + 1
    return [f"{fault} x {count}" for fault, count in faults.items()]


def _fault(subgraph: Subgraph, position: int) -> str:
    operator = subgraph.operators[position]
    outputs = [subgraph.tensors[index] for index in operator.outputs]
    inputs = [subgraph.tensors[index] for index in operator.inputs if index >= 0]
    dtype = outputs[0].dtype if outputs else ""
    name = f"{operator.type} of {dtype}"
    if operator.type not in NNAPI_LEVELS:
        return f"{name} (no such operation)"
    float_level, int8_level = NNAPI_LEVELS[operator.type]
    if dtype == "int8" and not int8_level:
        return f"{name} (float32 only)"
    if dtype not in ("int8", "float32", "int32", "bool"):
        return f"{name} (no such type)"
    if dtype == "float32" and not float_level:
        return f"{name} (int8 only)"
    rank = max((len(tensor.shape) for tensor in (*inputs, *outputs)), default=0)
    return f"{name} (more than {MAX_RANK} axes)" if rank > MAX_RANK else ""
