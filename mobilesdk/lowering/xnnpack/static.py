"""Static int8 for XNNPACK: ranges from calibration, then quantize and dequantize ops in the graph.

The vendor's flow (observers placed by a quantizer, moving averages, a histogram search, a smallest
scale of 2^-12) is not used: ranges come from `RangeObserver` over every calibration sample, weights
keep the grid that their compressor chose, and a value has as many conversions as it has users: the
form that the partitioner recognises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch.fx import Node

from mobilesdk.core.scheme import Observer, WeightScheme
from mobilesdk.lowering.xnnpack.regions import (
    ARITHMETIC,
    TRANSPOSED,
    WEIGHTED,
    Regions,
    find_regions,
    taken_values,
)
from mobilesdk.lowering.xnnpack.weights import (
    StoredWeight,
    attribute,
    constant,
    dequantize_node,
    round_weight,
    smallest_scales,
)
from mobilesdk.numerics.ranges import RangeObserver

ScaleAndZero = tuple[float, int]
_decomposed = torch.ops.quantized_decomposed
_LEVELS = (-128, 127, torch.int8)


def quantize_static(
    module: torch.fx.GraphModule,
    weights: Mapping[str, WeightScheme],
    samples: Iterable[Sequence[torch.Tensor]],
    observer: Observer,
) -> dict[str, StoredWeight]:
    """Quantize the weights and activations of a module in place.

    Args:
        module: A flat program as a module; changed.
        weights: Name → scheme of each weight to be stored as 8-bit integers.
        samples: Calibration samples: the module's inputs, in order.
        observer: How a range follows from the values seen.

    Returns:
        What is stored, by name: those of ``weights`` that an int8 op takes, and the constants that
        are added to or multiplied with int8 values.
    """
    _lift_scalars(module)
    _give_each_a_bias(module)
    regions = find_regions(module.graph, set(weights))
    scales = _scales(module, regions, samples, observer)
    stored = _quantize_weights(module, regions, weights, scales)
    stored |= _round_constants(module, scales)
    outputs = {regions.output(op): op for op in regions.ops}
    for op, clamp in regions.clamps.items():
        clamp.replace_all_uses_with(op)
        module.graph.erase_node(clamp)
    for value, numbers in scales.items():
        _insert_conversions(regions, outputs.get(value, value), numbers)
    module.graph.lint()
    module.recompile()
    return stored


def scale_and_zero(low: float, high: float) -> ScaleAndZero:
    """Give scale and zero point of int8 values for a range, which is widened to hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 1.0, 0
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def _lift_scalars(module: torch.fx.GraphModule) -> None:
    """Turn numbers in sums and products into constants: XNNPACK takes tensors only."""
    for node in list(module.graph.nodes):
        if node.target not in ARITHMETIC:
            continue
        for place, operand in enumerate(node.args[:2]):
            if isinstance(operand, int | float):
                with module.graph.inserting_before(node):
                    value = torch.tensor([float(operand)])
                    lifted = constant(module.graph, f"{node.name}.operand_{place}", value)
                lifted.meta["val"] = node.meta["val"].new_empty(1)
                node.update_arg(place, lifted)


def _give_each_a_bias(module: torch.fx.GraphModule) -> None:
    """Copy the biases that several ops take, as a layer that runs more than once does.

    XNNPACK stores a bias in units of its op's input scale, and a constant in one unit only: the
    later calls would add the bias of the first call's scale.
    """
    taken: set[object] = set()
    for op in module.graph.nodes:
        bias = op.args[2] if op.target in WEIGHTED and len(op.args) > 2 else None
        if bias is None:
            continue
        if bias.target in taken:
            with module.graph.inserting_before(op):
                copy = constant(module.graph, f"{op.name}.bias", _tensor(module, bias).clone())
            copy.meta["val"] = bias.meta["val"]
            op.update_arg(2, copy)
        taken.add(bias.target)


def _scales(
    module: torch.fx.GraphModule,
    regions: Regions,
    samples: Iterable[Sequence[torch.Tensor]],
    kind: Observer,
) -> dict[Node, ScaleAndZero]:
    """Observe every value of the int8 part; values of one range get one scale."""
    observers = {shared: RangeObserver(kind) for shared in regions.ranges.values()}
    moved = {op for op in regions.ops if op not in regions.computing}
    watched = {
        value: observers[shared] for value, shared in regions.ranges.items() if value not in moved
    }
    interpreter = _Watching(module, watched)
    with torch.no_grad():
        for place, sample in enumerate(samples):
            interpreter.sample = place
            interpreter.run(*sample)
    numbers = {shared: scale_and_zero(*seen.range()) for shared, seen in observers.items()}
    return {value: numbers[shared] for value, shared in regions.ranges.items()}


class _Watching(torch.fx.Interpreter):  # type: ignore[misc]  # torch is untyped here
    """Runs a graph and shows values to observers.

    Attributes:
        sample: Place of the sample that is run.
    """

    def __init__(self, module: torch.fx.GraphModule, watched: Mapping[Node, RangeObserver]) -> None:
        super().__init__(module)
        self._watched = watched
        self.sample = 0

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n in self._watched:
            self._watched[n].update(value.numpy(), n.name, self.sample)
        return value


def _quantize_weights(
    module: torch.fx.GraphModule,
    regions: Regions,
    weights: Mapping[str, WeightScheme],
    scales: Mapping[Node, ScaleAndZero],
) -> dict[str, StoredWeight]:
    stored: dict[str, StoredWeight] = {}
    for op in [op for op in module.graph.nodes if op in regions.ops and op.target in WEIGHTED]:
        name = str(op.args[1].target)
        scheme, axis = weights[name], int(op.target in TRANSPOSED)
        input_scale, _ = scales[taken_values(op)[0]]
        weight = round_weight(
            _tensor(module, op.args[1]), scheme, axis, _floor(module, op, scheme, input_scale)
        )
        with module.graph.inserting_before(op):
            op.update_arg(1, dequantize_node(module.graph, f"{op.name}.{name}", weight))
        stored[name] = StoredWeight(weight.decoded(), scheme)
    return stored


def _floor(
    module: torch.fx.GraphModule, op: Node, scheme: WeightScheme, input_scale: float
) -> torch.Tensor | None:
    bias = op.args[2] if len(op.args) > 2 else None
    if bias is None:
        return None
    floor = smallest_scales(_tensor(module, bias), input_scale)
    return floor.amax() if scheme.granularity == "per_tensor" else floor


def _round_constants(
    module: torch.fx.GraphModule, scales: Mapping[Node, ScaleAndZero]
) -> dict[str, StoredWeight]:
    """Store constants that are operands of int8 ops as integers, with ranges like activations."""
    stored = {}
    for value, (scale, zero) in scales.items():
        if value.op != "get_attr":
            continue
        integers = ((_tensor(module, value) / scale).round() + zero).clamp(-128, 127)
        scheme = WeightScheme(encoding="linear", bits=8, symmetric=zero == 0)
        reason = "XNNPACK combines int8 values with int8 constants only"
        stored[str(value.target)] = StoredWeight((integers - zero) * scale, scheme, reason)
        with module.graph.inserting_after(value):
            rounded = constant(module.graph, f"{value.target}.int8", integers.to(torch.int8))
        _dequantize(rounded, [*value.users], value, (scale, zero))
    return stored


def _tensor(module: torch.fx.GraphModule, node: Node) -> torch.Tensor:
    return attribute(module, str(node.target))


def _insert_conversions(regions: Regions, value: Node, numbers: ScaleAndZero) -> None:
    """Round a value behind the op that gives it, for the users that take integers.

    Users that take float32 take the value itself, unless it is the result of an int8 op.
    """
    users = [user for user in value.users if value in regions.ops or regions.takes_int8(user)]
    if not users:
        return
    with value.graph.inserting_after(_last_placeholder(value)):
        integers = value.graph.call_function(
            _decomposed.quantize_per_tensor.default, (value, *numbers, *_LEVELS)
        )
    _dequantize(integers, users, value, numbers)


def _dequantize(integers: Node, users: Sequence[Node], value: Node, numbers: ScaleAndZero) -> None:
    """Give each user of a value a dequantized copy of the value's integers, of its own."""
    for user in users:
        with value.graph.inserting_before(user):
            copy = value.graph.call_function(
                _decomposed.dequantize_per_tensor.default, (integers, *numbers, *_LEVELS)
            )
        user.replace_input_with(value, copy)


def _last_placeholder(value: Node) -> Node:
    """Give the node behind which an op on a value may stand: inputs come first."""
    if value.op != "placeholder":
        return value
    return value.graph.find_nodes(op="placeholder")[-1]
