"""Which operations take integers, where ``quantize`` and ``dequantize`` say so.

There is no integer convolution in the file: ``dequantize → conv2d → quantize`` stands for one. What
the compiler of a device makes of it is its own business; what the file asks for can be read here.
"""

from __future__ import annotations

from collections import Counter

from mobilesdk.coreai.program import Graph, Program, short_name
from mobilesdk.coreai.storage import Constants

QUANTIZE, DEQUANTIZE = "quantize", "dequantize"
TAKEN = {
    "conv2d": (0,),
    "conv3d": (0,),
    "conv_transpose2d": (0,),
    "broadcasting_batch_matmul": (0, 1),
    "broadcasting_add": (0, 1),
    "sum_pool_2d": (0,),
    "max_pool_2d": (0,),
    "reduce_mean": (0,),
}
"""Type of operation → places of the operands that are activations, unless they are constants."""

_MOVES = frozenset({"reshape", "transpose", "pad", "slice", "concat", "broadcast_to"})
_FUSED = frozenset(
    {
        "broadcasting_add",
        "broadcasting_divide",
        "broadcasting_maximum",
        "broadcasting_minimum",
        "broadcasting_mul",
        "relu",
    }
)  # with a constant


def integer_values(program: Program, graph: Graph, constants: Constants) -> dict[int, str]:
    """Tell which operations take integers.

    Returns:
        Number of the first result of an operation → ``int8`` or ``uint8``: operations of `TAKEN`
        that take dequantized values and weights of integers only, sums with a constant and clamps
        that are one with the operation before them, what moves dequantized values, and
        ``dequantize`` itself.
    """
    uses = Counter(value for item in graph.operations for value in item.operands)
    uses.update(value for _, value in graph.outputs)
    carried: dict[int, str] = {}  # values that are integers times a scale
    computed: dict[int, str] = {}  # values that are still to be rounded
    still: set[int] = set()  # made of constants alone
    integers = {value for value in constants if constants.are_integers(value)}
    for operation in graph.operations:
        kind = short_name(operation)
        taken = [
            value for value in operation.operands if value not in constants and value not in still
        ]
        if not taken:
            still.update(operation.results)
            if any(value in integers for value in operation.operands):
                integers.update(operation.results)
        if not taken or not operation.results:
            continue
        result = operation.results[0]
        elements = [carried.get(value, "") for value in taken]
        element = elements[0] if all(elements) else ""
        if kind == DEQUANTIZE:
            declared = program.type_of(taken[0])
            carried[result] = declared.element if declared else ""
        elif kind in _MOVES and element:
            carried[result] = element
        elif kind in _FUSED and len(taken) == 1 and taken[0] in computed and uses[taken[0]] == 1:
            computed[result] = computed[taken[0]]
        elif kind in TAKEN and element and not (kind == "broadcasting_add" and len(taken) == 1):
            weights = [item for item in operation.operands if item not in taken]
            if all(item in integers or not _is_weight(program, item) for item in weights):
                computed[result] = element
        elif kind in _MOVES and len(taken) == 1 and taken[0] in computed and uses[taken[0]] == 1:
            computed[result] = computed[taken[0]]
    return carried | computed


def _is_weight(program: Program, value: int) -> bool:
    declared = program.type_of(value)
    return declared is not None and "float" in declared.element and len(declared.shape) >= 2
