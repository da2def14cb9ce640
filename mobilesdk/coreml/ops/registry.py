"""The table of operations, filled by importing the modules of this folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal, TypeVar, get_type_hints

from mobilesdk.coreml import ops
from mobilesdk.coreml.ops.arguments import Converter, converter

Kind = Literal["float", "move", "structural"]
# Parameters that the executor fills in.
BLOCKS, RESULTS, BLOCK_SIZE = "blocks", "results", "products_per_sum"
LIMIT = "max_elements"
SUPPLIED = {BLOCKS, RESULTS, BLOCK_SIZE, LIMIT}
_FIRST_IOS = 15

Function = TypeVar("Function", bound=Callable[..., Any])


class OpError(ValueError):
    """An operation cannot be computed with the arguments that it was given."""


class TooLarge(OpError):
    """A result would have more elements than the limit of the run."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: how its argument is converted, and whether it must be given."""

    convert: Converter
    required: bool


@dataclass(frozen=True)
class Op:
    """One operation as a range of operation sets means it.

    Attributes:
        name: In MIL.
        function: Computes it; keyword arguments only.
        kind: How its results are treated: see the package.
        since: First iOS whose operation set has this meaning.
        parameters: By MIL name.
        supplied: Parameters that the executor fills in.
    """

    name: str
    function: Callable[..., Any]
    kind: Kind
    since: int
    parameters: dict[str, Parameter]
    supplied: frozenset[str]


@dataclass
class _Table:
    ops: dict[str, list[Op]] = field(default_factory=dict)


_TABLE = _Table()


def op(
    *names: str, kind: Kind = "float", since: int = _FIRST_IOS
) -> Callable[[Function], Function]:
    """Register a function as the meaning of operations; see the package."""

    def register(function: Function) -> Function:
        for name in names:
            meanings = _TABLE.ops.setdefault(name, [])
            if any(meaning.since == since for meaning in meanings):
                raise ValueError(f"{name} since iOS {since} is defined twice")
            meanings.append(_describe(name, function, kind, since))
            meanings.sort(key=lambda meaning: meaning.since, reverse=True)
        return function

    return register


def find(name: str, ios: int) -> Op | None:
    """Give the meaning of an operation in the operation set of an iOS version, if it is known."""
    return next((meaning for meaning in _table().ops.get(name, ()) if meaning.since <= ios), None)


def known_ops() -> tuple[str, ...]:
    """Give the names of all operations that can be computed, sorted."""
    return tuple(sorted(_table().ops))


@cache
def _table() -> _Table:
    for module in iter_modules(ops.__path__):
        import_module(f"{ops.__name__}.{module.name}")
    return _TABLE


def _describe(name: str, function: Callable[..., Any], kind: Kind, since: int) -> Op:
    hints = get_type_hints(function)
    parameters = {}
    supplied = set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise TypeError(f"{name}: {parameter.name} must be keyword-only")
        if parameter.name in SUPPLIED:
            supplied.add(parameter.name)
            continue
        required = parameter.default is parameter.empty
        parameters[parameter.name] = Parameter(converter(hints[parameter.name]), required)
    return Op(name, function, kind, since, parameters, frozenset(supplied))
