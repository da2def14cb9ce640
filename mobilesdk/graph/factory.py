"""Call the function that a MODEL argument names."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mobilesdk.core.contract import ModelSpec
from mobilesdk.errors import InvalidModel, suggest

_REFERENCE = re.compile(r"(?P<source>[A-Za-z_][\w.]*|.+\.py):(?P<function>[A-Za-z_]\w*)")
_TRACEBACK_LINES = 4


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
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InvalidModel(
            f"{reference!r} names no model.",
            hint="give package.module:factory or path/to/file.py:function.",
        )
    source, function = match["source"], match["function"]
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    return _spec(_guarded(_find(module, function), reference), reference)


def _import_file(path: Path) -> ModuleType:
    path = path.expanduser().absolute()
    if not path.is_file():
        raise InvalidModel(f"There is no file {path}.", hint="check the path before the colon.")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    if spec is None or spec.loader is None:
        raise InvalidModel(f"{path} cannot be imported.", hint="give a Python source file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loader = spec.loader
    _guarded(lambda: loader.exec_module(module), str(path))
    return module


def _module_name(path: Path) -> str:
    """Name a file's module after the file, unless an imported module has that name."""
    return f"{path.stem}_model" if path.stem in sys.modules else path.stem


def _import_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(name=name)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
            raise _failure(error, name) from error
        raise InvalidModel(
            f"There is no module {name!r}.",
            hint="install it, or run from its folder; a file is given as file.py:function.",
        ) from error
    except Exception as error:
        raise _failure(error, name) from error
    module: ModuleType = _guarded(lambda: importlib.import_module(name), name)
    return module


def _find(module: ModuleType, function: str) -> Callable[[], Any]:
    found = getattr(module, function, None)
    if callable(found):
        return found  # type: ignore[no-any-return] # a module's attributes have no types
    own = [
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    raise InvalidModel(
        f"{module.__name__} has no function {function!r}.", hint=suggest(function, sorted(own))
    )


def _guarded(call: Callable[[], Any], what: str) -> Any:
    """Run code of the user's; whatever it raises becomes one error with its place."""
    try:
        return call()
    except (Exception, SystemExit) as error:
        raise _failure(error, what) from error


def _failure(error: BaseException, what: str) -> InvalidModel:
    lines = "".join(traceback.format_exception(error)).strip().splitlines()
    tail = "\n".join(f"    {line}" for line in lines[-_TRACEBACK_LINES:])
    return InvalidModel(
        f"{what} raised {type(error).__name__}:\n{tail}",
        hint="make the function run on its own first: python -c 'import …; …()'.",
    )


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
