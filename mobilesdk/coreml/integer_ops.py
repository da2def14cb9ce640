"""Which operations of an ML Program take integers, where ``quantize`` and ``dequantize`` say so.

An ML Program has no integer convolution: ``dequantize → conv → quantize`` stands for one, and the
device's compiler makes an integer operation of it where it has a kernel. What comes of it is the
compiler's business; what the file asks for can be read here.

The operations and the activations that belong to the one before them are those of
``linear_quantize_activations`` in coremltools 9.0 (which has ``sigmoid_hard`` by a name that no
operation bears), and the matrix product of its quantizer for PyTorch.
"""

from __future__ import annotations

from collections import Counter

from mobilesdk.coreml.constexpr import is_constant
from mobilesdk.coreml.program import Function, Operation, TensorType

TAKEN = {
    "conv": ("x",),
    "linear": ("x",),
    "matmul": ("x", "y"),
    "add": ("x", "y"),
    "avg_pool": ("x",),
    "max_pool": ("x",),
}
"""Type of operation → parameters that take activations."""

FUSED_ACTIVATIONS = frozenset(
    {"leaky_relu", "tanh", "scaled_tanh", "sigmoid", "sigmoid_hard", "relu", "relu6"}
)
"""Operations that are one with the integer operation before them, if nothing else takes from it."""


def integer_types(function: Function) -> dict[str, str]:
    """Tell which operations take integers.

    Returns:
        Name of the first result of an operation → ``int8`` or ``uint8``: operations of `TAKEN` that
        take dequantized values only, activations that are one with them, and ``dequantize`` itself.
        A constant may stand beside a dequantized value in a matrix product, and not in a sum.
    """
    return _Reading(function).found


class _Reading:
    """One pass over a function, in its order."""

    def __init__(self, function: Function) -> None:
        operations = [item for item in function.block.walk() if not is_constant(item.type)]
        self._makers: dict[str, Operation | None] = {item.name: None for item in function.inputs}
        self._makers |= {output.name: item for item in operations for output in item.outputs}
        self._uses = Counter(function.block.outputs)
        for operation in operations:
            self._uses.update(_names(operation, tuple(operation.inputs)))
            self._uses.update(name for block in operation.blocks for name in block.outputs)
        self.found: dict[str, str] = {}
        for operation in operations:
            element = self._element(operation)
            if element and operation.outputs:
                self.found[operation.outputs[0].name] = element

    def _element(self, operation: Operation) -> str:
        if operation.type == "dequantize":
            return self._dequantized(operation)
        if operation.type in FUSED_ACTIVATIONS:
            return self._of_maker(operation)
        taken = _names(operation, TAKEN.get(operation.type, ()))
        makers = [self._makers[name] for name in taken if name in self._makers]
        elements = [
            "" if maker is None or maker.type != "dequantize" else self._dequantized(maker)
            for maker in makers
        ]
        if operation.type == "add" and len(elements) < 2:
            return ""
        return elements[0] if elements and all(elements) else ""

    def _dequantized(self, dequantize: Operation) -> str:
        for name in _names(dequantize, ("input",)):
            maker = self._makers.get(name)
            for output in maker.outputs if maker else ():
                if output.name == name and isinstance(output.type, TensorType):
                    return output.type.element.value
        return ""

    def _of_maker(self, activation: Operation) -> str:
        """Give the type of the operation that an activation is one with."""
        for name in _names(activation, ("x",)):
            maker = self._makers.get(name)
            if maker is not None and maker.type in TAKEN and self._uses[name] == 1:
                return self.found.get(name, "")
        return ""


def _names(operation: Operation, parameters: tuple[str, ...]) -> list[str]:
    """Give the names that an operation takes by some of its parameters."""
    bindings = [item for name in parameters for item in operation.inputs.get(name, ())]
    return [item for item in bindings if isinstance(item, str)]
