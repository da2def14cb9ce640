"""Find plug-ins by file name, without importing them; load one by name, and check it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import traceback
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

from mobilesdk.core.step import StepConfig
from mobilesdk.errors import UnknownName, UsageError
from mobilesdk.plugins.contract import (
    PLUGIN_API,
    Compressor,
    Exporter,
    ExportOptions,
    Frontend,
    Runtime,
)


class Kind(StrEnum):
    """A folder of plug-ins; also the suffix of the entry-point group ``mobilesdk.<kind>``."""

    FRONTENDS = "frontends"
    COMPRESSORS = "compressors"
    EXPORTERS = "exporters"
    RUNTIMES = "runtimes"

    @property
    def noun(self) -> str:
        """Singular, for messages."""
        return self.value.removesuffix("s")


_CONTRACTS: dict[Kind, type] = {
    Kind.FRONTENDS: Frontend,
    Kind.COMPRESSORS: Compressor,
    Kind.EXPORTERS: Exporter,
    Kind.RUNTIMES: Runtime,
}
_SETTINGS: dict[Kind, tuple[str, type]] = {
    Kind.COMPRESSORS: ("config", StepConfig),
    Kind.EXPORTERS: ("options", ExportOptions),
}
"""The member that holds the class of a plug-in's settings, and the base of that class."""

_files: dict[tuple[Kind, str], Path] = {}
_of_call: set[tuple[Kind, str]] = set()
_loaded: dict[tuple[Kind, str], object] = {}


def _shipped(kind: Kind) -> dict[str, str]:
    folder = Path(__file__).parent.parent / kind.value
    return {
        module.name: f"mobilesdk.{kind.value}.{module.name}"
        for module in pkgutil.iter_modules([str(folder)])
        if not module.name.startswith("_")
    }


@cache
def _installed(kind: Kind) -> dict[str, str]:
    return {
        entry.name: entry.value
        for entry in importlib.metadata.entry_points(group=f"mobilesdk.{kind.value}")
    }


def _sources(kind: Kind) -> dict[str, str | Path]:
    """Map names to module names or files; a name that two sources give is an error."""
    sources: dict[str, str | Path] = dict(_shipped(kind))
    added: list[tuple[str, str | Path]] = list(_installed(kind).items())
    added += [(name, path) for (of, name), path in _files.items() if of is kind]
    for name, source in added:
        if name in sources:
            raise UsageError(
                f"Two {kind.value} are named {name!r}: {sources[name]} and {source}.",
                hint="rename or remove one of them.",
            )
        sources[name] = source
    return sources


def names(kind: Kind) -> list[str]:
    """List the plug-ins of a kind, sorted, importing none of them."""
    return sorted(_sources(kind))


def add_file(path: Path) -> None:
    """Register a plug-in from a file for this process; its parent folder's name is its kind.

    A file that is registered again is loaded anew.

    Args:
        path: ``…/<kind>/<name>.py``, e.g. ``plugins/compressors/my_method.py``.

    Raises:
        UsageError: The file does not exist, its folder is not named after a kind, or another file
            has its name.
    """
    _of_call.discard(_add(path))


def use_files(paths: Iterable[Path]) -> None:
    """Register the files of one call (``--plugin``) in place of those of the call before.

    Files that `add_file` registered stay.

    Raises:
        UsageError: As `add_file`.
    """
    for key in _of_call:
        _files.pop(key, None)
        _loaded.pop(key, None)
    _of_call.clear()
    stay = set(_files)
    for path in paths:
        key = _add(path)
        if key not in stay:
            _of_call.add(key)


def _add(path: Path) -> tuple[Kind, str]:
    path = path.resolve()
    kinds = [kind.value for kind in Kind]
    if not path.is_file() or path.suffix != ".py":
        raise UsageError(f"{path} is not a Python file.", hint="give the path of a plug-in file.")
    if path.parent.name not in kinds:
        raise UsageError(
            f"{path} lies in a folder named {path.parent.name!r}.",
            hint=f"put it into a folder named after its kind: {', '.join(kinds)}.",
        )
    key = Kind(path.parent.name), path.stem
    if _files.get(key, path) != path:
        raise UsageError(
            f"Two {key[0].value} are named {path.stem!r}: {_files[key]} and {path}.",
            hint="rename or remove one of them.",
        )
    _files[key] = path
    _loaded.pop(key, None)
    return key


def source_path(kind: Kind, name: str) -> Path:
    """Give the file that defines a plug-in, without importing it."""
    source = _find(kind, name)
    if isinstance(source, Path):
        return source
    spec = importlib.util.find_spec(source)
    if spec is None or spec.origin is None:
        raise UsageError(f"The {kind.noun} {name!r} names module {source!r}, which does not exist.")
    return Path(spec.origin)


def _find(kind: Kind, name: str) -> str | Path:
    sources = _sources(kind)
    if name not in sources:
        raise UnknownName(kind.noun, name, sources)
    return sources[name]


def _import(kind: Kind, name: str) -> ModuleType:
    source = _find(kind, name)
    try:
        return _module(kind, name, source)
    except (Exception, SystemExit) as error:
        if isinstance(source, str) and source.startswith("mobilesdk."):
            raise  # a bug of ours
        raise UsageError(
            f"The {kind.noun} {name!r} cannot be imported: {_place(error, source)}: "
            f"{type(error).__name__}: {getattr(error, 'msg', error)}.",
            hint="correct the plug-in; its module has to import without its toolchain.",
        ) from error


def _module(kind: Kind, name: str, source: str | Path) -> ModuleType:
    if isinstance(source, str):
        return importlib.import_module(source)
    spec = importlib.util.spec_from_file_location(f"mobilesdk_plugin_{kind.value}_{name}", source)
    if spec is None or spec.loader is None:
        raise UsageError(f"{source} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _place(error: BaseException, source: str | Path) -> str:
    """Tell where an import failed: the last line of the plug-in's own file that ran."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(source)
    ]
    return f"{source}:{lines[-1]}" if lines else str(source)


def _load(kind: Kind, name: str) -> object:
    if (kind, name) not in _loaded:
        module = _import(kind, name)
        api = getattr(module, "plugin_api", None)
        if api != PLUGIN_API:
            raise UsageError(
                f"The {kind.noun} {name!r} has plugin_api = {api}, not {PLUGIN_API}.",
                hint="install versions of mobilesdk and of the plug-in that go together.",
            )
        plugin = getattr(module, "PLUGIN", None)
        expected = _CONTRACTS[kind]
        missing = sorted(
            member
            for member in vars(expected)
            if not member.startswith("_") and not hasattr(plugin, member)
        )
        if missing:
            raise UsageError(
                f"The {kind.noun} {name!r} lacks {', '.join(missing)} in PLUGIN.",
                hint=f"see mobilesdk.plugins.{expected.__name__}.",
            )
        _check_settings(kind, name, plugin)
        _loaded[kind, name] = plugin
    return _loaded[kind, name]


def _check_settings(kind: Kind, name: str, plugin: object) -> None:
    if kind not in _SETTINGS:
        return
    member, base = _SETTINGS[kind]
    found = getattr(plugin, member)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(
            f"The {kind.noun} {name!r} has {member} = {found!r} ({source_path(kind, name)}).",
            hint=f"give a subclass of mobilesdk's {base.__name__}.",
        )


def frontend(name: str) -> Frontend:
    """Load a frontend by name."""
    return cast("Frontend", _load(Kind.FRONTENDS, name))


def compressor(name: str) -> Compressor:
    """Load a compression method by name."""
    return cast("Compressor", _load(Kind.COMPRESSORS, name))


def exporter(name: str) -> Exporter:
    """Load an exporter by the name of its format."""
    return cast("Exporter", _load(Kind.EXPORTERS, name))


def runtime(name: str) -> Runtime:
    """Load a runtime by the name of its format."""
    return cast("Runtime", _load(Kind.RUNTIMES, name))
