"""Call the function that a MODEL argument names."""

from __future__ import annotations

from typing import Any

from mobilesdk.core.contract import ModelSpec
from mobilesdk.data.functions import UserCode, parse_reference
from mobilesdk.errors import InvalidModel


def call_factory(reference: str) -> ModelSpec:
    """Import the module of a reference and call its function without arguments.

    Args:
        reference: ``package.module:factory``, looked for in the working folder too, or
            ``file.py:function``, whose folder becomes importable.

    Returns:
        What it returned; a ``(module, example_inputs)`` pair becomes a spec without a contract.

    Raises:
        InvalidModel: There is no such file, module or function, it raised, or it returned
            something else.
    """
    parts = parse_reference(reference)
    if parts is None:
        raise InvalidModel(
            f"{reference!r} names no model.",
            hint="give package.module:factory or path/to/file.py:function.",
        )
    code = UserCode(InvalidModel)
    return _spec(code.run(code.function(*parts), reference), reference)


def _spec(made: Any, reference: str) -> ModelSpec:
    import torch

    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module):
        module, example = made
        made = ModelSpec(module, example if isinstance(example, tuple) else (example,))
    if isinstance(made, ModelSpec) and isinstance(made.module, torch.nn.Module):
        return made
    raise InvalidModel(
        f"{reference} returned {_describe(made)}.",
        hint="return (module, example_inputs) or a mobilesdk.ModelSpec.",
    )


def _describe(made: Any) -> str:
    if isinstance(made, ModelSpec):
        return f"a ModelSpec whose module is a {type(made.module).__name__}"
    return f"a {type(made).__name__}"
