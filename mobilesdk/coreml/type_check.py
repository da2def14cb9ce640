"""Check of a program before it runs: the element types that go together, as MIL requires them.

A result whose operation only moves values is not rounded; that holds if its declared type is that
of the arguments, which is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mobilesdk.coreml.constants import bindings_of
from mobilesdk.coreml.constexpr import decoder, is_constant, is_constexpr, result_types
from mobilesdk.coreml.dtypes import ElementType
from mobilesdk.coreml.ops.arguments import SETTINGS
from mobilesdk.coreml.ops.elementwise_unary import named_element
from mobilesdk.coreml.ops.registry import Op, OpError, find
from mobilesdk.coreml.program import (
    Block,
    Function,
    ListType,
    NamedType,
    Operation,
    StateType,
    TensorType,
    Value,
    ValueType,
)
from mobilesdk.coreml.signatures import FREE, SAME, VALUES, signature
from mobilesdk.errors import ArtifactInvalid, FileRejected

# The argument that names the element type of a result, and which result.
_NAMED = {
    "cast": ("dtype", 0),
    "make_list": ("dtype", 0),
    "quantize": ("output_dtype", 0),
    "reduce_argmax": ("output_dtype", 0),
    "reduce_argmin": ("output_dtype", 0),
    "topk": ("output_indices_dtype", 1),
}
_HINT = "the package is damaged, or its maker writes other types than MIL allows: convert it again."


@dataclass(frozen=True)
class _Typed:
    """An argument or a result, as messages call it, and its element type."""

    what: str
    element: ElementType


def check_types(function: Function, ios: int) -> None:
    """Check the element types of all operations, those of nested blocks too.

    Args:
        function: Its operations and arguments are known, or unverifiable.
        ios: Version whose operation set it is written in.

    Raises:
        FileRejected: Two results have one name.
        ArtifactInvalid: An operation is given, or declares, types that MIL does not allow.
    """
    constants = [item for item in function.block.walk() if is_constant(item.type)]
    types = {item.name: item.type for item in function.inputs}
    for operation in constants:
        _define(operation.outputs, types)
    _Checker(ios, constants).check_block(function.block, types)


class _Checker:
    """Checks the blocks of one function."""

    def __init__(self, ios: int, constants: Iterable[Operation]) -> None:
        self._ios = ios
        self._texts = {
            output.name: item.attributes["val"]
            for item in constants
            for output in item.outputs
            if item.type == "const" and "val" in item.attributes
        }

    def check_block(self, block: Block, outer: Mapping[str, ValueType]) -> list[list[_Typed]]:
        """Check a block; ``outer`` has the types of the names that it sees.

        Returns:
            The type of each of its results.
        """
        types = dict(outer)
        for operation in block.operations:
            if is_constant(operation.type):
                _check_constant(operation, types)
                continue
            meaning = find(operation.type, self._ios)
            if meaning is not None:
                self._check_groups(operation, meaning, types)
                self._check_named(operation)
            inside = [self.check_block(inner, _seen(inner, types)) for inner in operation.blocks]
            if meaning is not None and operation.blocks:
                _check_flow(operation, types, inside)
            _define(operation.outputs, types)
        return [_typed(f"{name}, of a nested block,", (name,), types) for name in block.outputs]

    def _check_groups(
        self, operation: Operation, meaning: Op, types: Mapping[str, ValueType]
    ) -> None:
        rules = signature(operation.type, self._ios)
        groups: dict[str, list[_Typed]] = {}
        for name, bindings in operation.inputs.items():
            is_setting = meaning.parameters[name].convert in SETTINGS
            if is_setting and name not in VALUES.get(operation.type, ()):
                continue
            members = groups.setdefault(rules.groups.get(name, SAME), [])
            members += _typed(f"its argument {name}", bindings, types)
        every = rules.results * len(operation.outputs) if len(rules.results) == 1 else rules.results
        for group, output in zip(every, operation.outputs, strict=False):
            groups.setdefault(group, []).extend(_declared(output.name, output.type))
        groups.pop(FREE, None)
        for group, members in groups.items():
            _check_same(operation, members)
            for member in members:
                if not rules.of_group(group).has(member.element):
                    raise _refused(
                        operation,
                        f"{member.what} is {member.element}; MIL has {rules.of_group(group)} there",
                    )
        if operation.type == "matmul" and self._ios >= 17:
            self._check_product(operation, types)

    def _check_product(self, operation: Operation, types: Mapping[str, ValueType]) -> None:
        factors = [
            member
            for name in ("x", "y")
            for member in _typed(f"its argument {name}", operation.inputs.get(name, ()), types)
        ]
        for output in operation.outputs:
            for declared in _declared(output.name, output.type):
                if all(factor.element is not declared.element for factor in factors):
                    _check_same(operation, [*factors[:1], declared])

    def _check_named(self, operation: Operation) -> None:
        name, index = _NAMED.get(operation.type, ("", 0))
        for binding in operation.inputs.get(name, ()):
            value = self._texts.get(binding) if isinstance(binding, str) else binding
            if value is None or _element(value.type) is not ElementType.STRING:
                continue  # not known before the run, where it is refused as no text
            try:
                element = named_element(value.text())
            except OpError as error:
                raise _refused(operation, str(error)) from error
            named = _Typed(f"its argument {name}", element)
            for output in operation.outputs[index : index + 1]:
                _check_same(operation, [named, *_declared(output.name, output.type)])


def _check_constant(operation: Operation, types: Mapping[str, ValueType]) -> None:
    """Check a compressed constant."""
    if not is_constexpr(operation.type):
        return
    bindings = bindings_of(operation)
    found = {
        name: _element(item.type if isinstance(item, Value) else types.get(item))
        for name, item in bindings.items()
    }
    elements = {name: element for name, element in found.items() if element is not None}
    faults = [f"{name} that is no tensor" for name in found if name not in elements]
    faults += decoder(operation.type, bindings).type_faults(elements)
    if faults:
        raise _refused(operation, f"it has {'; '.join(faults)}")
    made = result_types(operation.type, elements)
    if len(made) != len(operation.outputs):
        raise _refused(operation, f"it has {len(made)} results, {len(operation.outputs)} declared")
    for element, output in zip(made, operation.outputs, strict=True):
        _check_same(
            operation,
            [_Typed("what it decodes to", element), *_declared(output.name, output.type)],
        )


def _check_flow(
    operation: Operation, types: Mapping[str, ValueType], inside: list[list[list[_Typed]]]
) -> None:
    """Check that what branches give, and what a loop hands on, is as declared."""
    results = [_declared(output.name, output.type) for output in operation.outputs]
    if operation.type == "while_loop":
        variables = operation.inputs.get("loop_vars", ())
        passed = [_typed("a loop variable", (item,), types) for item in variables]
        for block in operation.blocks:
            taken = [
                _typed(f"{item.name}, of a nested block,", (item.name,), {item.name: item.type})
                for item in block.inputs
            ]
            _check_pairs(operation, passed, taken)
        inside = inside[1:]
    for made in inside:
        _check_pairs(operation, made, results)


def _check_pairs(
    operation: Operation, some: list[list[_Typed]], others: list[list[_Typed]]
) -> None:
    for one, other in zip(some, others, strict=False):  # their numbers are checked in a run
        _check_same(operation, [*one, *other])


def _check_same(operation: Operation, members: list[_Typed]) -> None:
    for member in members[1:]:
        first = members[0]
        if member.element is not first.element:
            raise _refused(
                operation,
                f"{first.what} is {first.element}, {member.what} is {member.element}; "
                "MIL has them of one type",
            )


def _define(outputs: Iterable[NamedType], types: dict[str, ValueType]) -> None:
    for output in outputs:
        if output.name in types:
            raise FileRejected(f"ML Program: two values are named {output.name!r}.")
        types[output.name] = output.type


def _seen(block: Block, types: Mapping[str, ValueType]) -> dict[str, ValueType]:
    return {**types, **{item.name: item.type for item in block.inputs}}


def _typed(
    what: str, bindings: Iterable[str | Value], types: Mapping[str, ValueType]
) -> list[_Typed]:
    """Give the element types of what is given; texts are refused where they are converted."""
    found = (item.type if isinstance(item, Value) else types.get(item) for item in bindings)
    return [
        _Typed(what, element)
        for element in map(_element, found)
        if element not in (None, ElementType.STRING)
    ]


def _declared(name: str, of: ValueType) -> list[_Typed]:
    element = _element(of)
    return [] if element is None else [_Typed(f"its result {name}", element)]


def _element(of: ValueType | None) -> ElementType | None:
    """Give the element type of a tensor, of a state, or of the items of a list of tensors."""
    if isinstance(of, StateType):
        of = of.wrapped
    elif isinstance(of, ListType):
        of = of.item
    return of.element if isinstance(of, TensorType) else None


def _refused(operation: Operation, why: str) -> ArtifactInvalid:
    return ArtifactInvalid(f"{operation.type} {operation.name}: {why}.", hint=_HINT)
