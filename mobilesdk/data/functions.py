"""Import and call functions of the user's: models, metrics, tokenizers, sets."""

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

from mobilesdk.data.origin import place_of
from mobilesdk.errors import MobileSDKError, suggest

_REFERENCE = re.compile(r"(?P<source>[A-Za-z_][\w.]*|.+\.py):(?P<name>[A-Za-z_]\w*)")
_TRACEBACK_LINES = 4


def parse_reference(text: str) -> tuple[str, str] | None:
    """Split ``package.module:name`` or ``file.py:name``; ``None`` if it is neither."""
    match = _REFERENCE.fullmatch(text)
    return None if match is None else (match["source"], match["name"])


class UserCode:
    """Code of the user's; whatever it raises becomes one error with its place.

    Args:
        error: Raised for all that goes wrong.
    """

    def __init__(self, error: type[MobileSDKError]) -> None:
        self._error = error

    def function(self, source: str, name: str) -> Callable[..., Any]:
        """Import a module and give its function.

        Args:
            source: ``package.module``, looked for in the working folder too, or ``file.py``, whose
                folder becomes importable.
            name: Of the function.
        """
        found = self.value(source, name)
        if callable(found):
            return found  # type: ignore[no-any-return] # a module's attributes have no types
        raise self._error(
            f"{name} of {source} is a {type(found).__name__}, no function.",
            hint="name a function of the module.",
        )

    def value(self, source: str, name: str) -> Any:
        """Import a module and give what it calls by a name; see `function`."""
        is_file = source.endswith(".py")
        module = self._import_file(Path(source)) if is_file else self._import_module(source)
        if hasattr(module, name):
            return getattr(module, name)
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", None) == module.__name__
        ]
        raise self._error(
            f"{module.__name__} has no function {name!r}.", hint=suggest(name, sorted(own))
        )

    def run(self, call: Callable[[], Any], what: str) -> Any:
        """Give what a call returns.

        Args:
            call: Runs the user's code.
            what: Its name in messages.
        """
        try:
            return call()
        except (Exception, SystemExit) as error:
            raise self._failure(error, what) from error

    def _import_file(self, path: Path) -> ModuleType:
        path = path.expanduser().absolute()
        if not path.is_file():
            raise self._error(f"There is no file {path}.", hint="check the path before the colon.")
        sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(_module_name(path), path)
        if spec is None or spec.loader is None:
            raise self._error(f"{path} cannot be imported.", hint="give a Python source file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        loader = spec.loader
        self.run(lambda: loader.exec_module(module), str(path))
        return module

    def _import_module(self, name: str) -> ModuleType:
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(name=name)
        except ModuleNotFoundError as error:
            if error.name is not None and not f"{name}.".startswith(f"{error.name}."):
                raise self._failure(error, name) from error
            raise self._error(
                f"There is no module {name!r}.",
                hint="install it, or run from its folder; a file is given as file.py:function.",
            ) from error
        except Exception as error:
            raise self._failure(error, name) from error
        module: ModuleType = self.run(lambda: importlib.import_module(name), name)
        return module

    def _failure(self, error: BaseException, what: str) -> MobileSDKError:
        lines = "".join(traceback.format_exception(error)).strip().splitlines()
        tail = "\n".join(f"    {line}" for line in lines[-_TRACEBACK_LINES:])
        return self._error(
            f"{what} raised {type(error).__name__}:\n{tail}",
            hint="make the function run on its own first: python -c 'import …; …()'. It has to run "
            "without a standard input.",
            place=place_of(error),
        )


def _module_name(path: Path) -> str:
    """Name a file's module after the file, unless an imported module has that name."""
    return f"{path.stem}_model" if path.stem in sys.modules else path.stem
