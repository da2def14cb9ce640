"""Faults in a target or profile file: where, what, and what was probably meant."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mobilesdk import errors
from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import InvalidTarget, suggest
from mobilesdk.targets.lines import KeyPath

Value = TypeVar("Value", bound=BaseModel)
Refusal = TypeVar("Refusal", bound=errors.UsageError)


class Fault(Frozen):
    """One fault.

    Attributes:
        path: The file.
        line: From 1.
        key: Dotted path of the key, e.g. ``compress[0].weights.bits``; empty for the whole file.
        message: What is wrong.
        hint: What to write instead; may be empty.
    """

    path: Path
    line: int
    key: str
    message: str
    hint: str = ""

    @property
    def place(self) -> tuple[Path, int, str]:
        """Where it is, for sorting."""
        return self.path, self.line, self.key

    def problem(self, code: str) -> errors.Problem:
        """Give the fault as one of the problems of a plan."""
        what = f"{f'{self.key}: ' if self.key else ''}{self.message}."
        hint = self.hint and f"{self.hint.removesuffix('.')}."
        return errors.Problem(code, what, hint, str(self.path), self.line)

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: {f'{self.key}: ' if self.key else ''}"
        return f"{where}{self.message}{f'; {self.hint}' if self.hint else ''}"


@dataclass(frozen=True)
class Problem:
    """A fault whose line is not known yet."""

    path: KeyPath
    message: str
    hint: str = ""


def refuse(faults: Sequence[Fault]) -> InvalidTarget:
    """Make the error for target and profile files; it lists every fault."""
    hint = "correct the lines above; `mobilesdk targets --check FILE` checks again."
    return listing(faults, InvalidTarget, hint=hint)


def listing(faults: Sequence[Fault], kind: type[Refusal], *, hint: str) -> Refusal:
    """Make an error that lists every fault, in the order of files and lines."""
    files = list(dict.fromkeys(str(fault.path) for fault in faults))
    ordered = sorted(faults, key=lambda fault: fault.place)
    return kind(
        "\n  ".join([f"{', '.join(files)} has {len(faults)} fault(s):", *map(str, ordered)]),
        hint=hint,
        faults=[fault.problem(kind.code) for fault in ordered],
    )


def validate(
    model: type[Value], document: Mapping[str, Any], at: KeyPath = (), also: Iterable[str] = ()
) -> tuple[Value | None, list[Problem]]:
    """Validate plain data strictly: no text for a number, no key that is not known.

    Args:
        model: The class to make.
        document: JSON-like data.
        at: Where the data stands in its file.
        also: Keys that its table may have besides those of the class.

    Returns:
        The value, or ``None`` and every problem.
    """
    try:
        # Strictness is for JSON types, where an array is a tuple and an integer is a float.
        as_json = json.dumps(document, default=str)
        return model.model_validate_json(as_json, strict=True), []
    except ValidationError as error:
        return None, [_problem(model, item, at, also) for item in error.errors()]


def dotted(path: KeyPath) -> str:
    """Write a path as people do, e.g. ``match.any[1].soc``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _problem(model: type[BaseModel], error: Any, at: KeyPath, also: Iterable[str]) -> Problem:
    # Parts in angle brackets are tags of unions, not keys.
    path: KeyPath = tuple(
        part for part in error["loc"] if not (isinstance(part, str) and part.startswith("<"))
    )
    name = str(path[-1]) if path else ""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        known = {*_keys_at(model, path[:-1]), *(also if len(path) == 1 else ())}
        return Problem((*at, *path), "unknown key", suggest(name, sorted(known)))
    if kind == "missing":
        return Problem((*at, *path), "missing")
    if kind == "literal_error":
        allowed = [item.strip("'") for item in _listed(error["ctx"]["expected"])]
        return Problem((*at, *path), f"{value!r} is not allowed", suggest(str(value), allowed))
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(value, dict | list) else f", not {value!r}"
    return Problem((*at, *path), f"{message[0].lower()}{message[1:]}{shown}")


def _listed(expected: str) -> Iterator[str]:
    """Split pydantic's "'a', 'b' or 'c'"."""
    for part in expected.split(", "):
        yield from part.split(" or ")


def _keys_at(model: type[BaseModel], path: KeyPath) -> set[str]:
    """Collect the field names of the classes that may stand at a path."""
    classes = {model}
    for part in path:
        owners = [found for found in classes if part in found.model_fields]
        if owners:  # else an index of an array or a free key of a table
            fields = [owner.model_fields[str(part)] for owner in owners]
            classes = {inner for field in fields for inner in _classes_in(field.annotation)}
    return {name for found in classes for name in found.model_fields}


def _classes_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _classes_in(argument)
