"""Check the description of a program in a foreign ``.pt2`` before torch builds it.

No pickle is needed for a description to run code. When torch 2.13 reads one, it looks any name up
that begins with ``torch.`` and calls it when the program runs, evaluates symbolic sizes and guards
as Python, imports modules that structures of inputs name, and writes names into source text that
it executes. So every string has to be of the kind that stands at its place in an ordinary file.
"""

from __future__ import annotations

import json
import re
from typing import Any

import torch

from mobilesdk.errors import FileRejected

_IGNORED = {"metadata": {}, "guards_code": [], "torch_version": ""}
"""Keys that may hold any text, which nothing here needs, and what is read in their place."""
_TEXTS = frozenset({"as_string", "as_strings"})
_TARGETS = frozenset({"target", "as_operator"})
_STRUCTURES = frozenset({"in_spec", "out_spec"})
_NAME = re.compile(r"[\w.]*", re.ASCII)
_FUNCTIONS = "Integer|Add|Mul|FloorDiv|CleanDiv|CeilDiv|ModularIndexing|PythonMod|Mod|Max|Min"
_SYMBOL = r"Symbol\('[su]\d+'(?:, [a-z]+=(?:True|False))*\)"  # as sympy.srepr writes it
_EXPRESSION = re.compile(
    rf"(?:{_SYMBOL}|(?:{_FUNCTIONS})(?=\()|[su]?\d{{1,19}}(?!\d)|[-+*/(), ])*", re.ASCII
)
_EXPRESSION_LENGTH = 1000
_ATEN = re.compile(r"torch\.ops\.aten\.(?P<op>[A-Za-z_]\w*)\.(?P<overload>[A-Za-z_]\w*)", re.ASCII)
_OTHER_TARGETS = frozenset(
    {
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
        "torch.ops.higher_order.wrap_with_autocast",
        *(f"torch.sym_{name}" for name in ("float", "int", "ite", "max", "min", "not")),
        *(f"math.{name}" for name in ("ceil", "floor", "trunc")),
        *(f"_operator.{name}" for name in ("getitem", "add", "sub", "mul", "truediv", "floordiv")),
        *(f"_operator.{name}" for name in ("mod", "neg", "eq", "ne", "lt", "le", "gt", "ge")),
    }
)
_TREE_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})


def checked_description(description: Any) -> Any:
    """Give a description as torch may read it: checked, and without traces and guards.

    Args:
        description: The JSON values of a record ``models/*.json``.

    Raises:
        FileRejected: It holds something that could run code, or that no ordinary file holds.
    """
    return _checked(description, "")


def _checked(value: Any, key: str) -> Any:
    if key in _IGNORED:
        return _IGNORED[key]
    if isinstance(value, dict):
        for name in value:
            _check_text(name, "")
        return {name: _checked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, key) for item in value]
    if isinstance(value, str):
        _check_text(value, key)
    return value


def _check_text(text: str, key: str) -> None:
    if key in _TEXTS:
        return  # an argument: written with repr, and no op that is let through opens a file
    if key in _TARGETS:
        _check_target(text)
    elif key in _STRUCTURES:
        _check_structure(text)
    elif key == "expr_str":
        if len(text) > _EXPRESSION_LENGTH or "**" in text or not _EXPRESSION.fullmatch(text):
            raise _rejected(f"the size {text!r}, which is more than arithmetic")
    elif not _NAME.fullmatch(text):
        raise _rejected(f"the name {text!r}")


def _check_target(text: str) -> None:
    if text in _OTHER_TARGETS:
        return
    match = _ATEN.fullmatch(text)
    packet = None if match is None else getattr(torch.ops.aten, match["op"], None)
    op = None if match is None else getattr(packet, match["overload"], None)
    if not isinstance(op, torch._ops.OpOverload):
        raise _rejected(f"the op {text!r}, which is none of torch's own (aten)")
    if any(argument.name == "filename" for argument in op._schema.arguments):
        raise _rejected(f"the op {text!r}, which opens a file")


def _check_structure(text: str) -> None:
    """Let tuples, lists and dicts through, whose keys are texts or numbers."""
    try:
        _, tree = json.loads(text)
        _check_tree(tree)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _rejected(f"the structure {text!r}") from error


def _check_tree(tree: dict[str, Any]) -> None:
    context = tree["context"]
    keys = json.loads(context) if isinstance(context, str) else context
    is_plain = keys is None or (
        isinstance(keys, list) and all(isinstance(key, (str, int)) for key in keys)
    )
    if tree["type"] not in _TREE_TYPES or not is_plain:
        raise _rejected(
            f"inputs or outputs in a {tree['type']}",
            "export a module that takes and gives tensors, or tuples, lists and dicts of them.",
        )
    for child in tree["children_spec"]:
        _check_tree(child)


def _rejected(what: str, cure: str = "") -> FileRejected:
    return FileRejected(
        f"The program holds {what}: it is not read without trust, because it could run code.",
        hint=cure or TRUST,
    )


TRUST = (
    "if you trust whom it comes from, give --trust-model, or give the module by a function that "
    "makes it, with --weights."
)
