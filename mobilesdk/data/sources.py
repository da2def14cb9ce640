"""What a function of the user's is made from, without running it: files and distributions."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from mobilesdk.data.functions import parse_reference

_OWN = "mobilesdk"


def source_digest(reference: str) -> str | None:
    """Give the digest of a function's module and of all that it imports.

    Files outside of the installed distributions are followed and hashed, as far as their import
    statements say; of a distribution, the version counts. Nothing is imported.

    Args:
        reference: ``package.module:name`` or ``file.py:name``.

    Returns:
        SHA-256; ``None`` if there is no such file or module.
    """
    parts = parse_reference(reference)
    if parts is None:
        return None
    source, name = parts
    folder = Path(source).absolute().parent if source.endswith(".py") else Path.cwd()
    search = [str(folder), str(Path.cwd()), *sys.path]
    found = _Sources(search)
    if source.endswith(".py"):
        if not Path(source).is_file():
            return None
        found.add_file(Path(source).stem, Path(source))
    elif not found.add_module(source):
        return None
    made_from = {"name": name, "files": found.files, "distributions": found.distributions}
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


class _Sources:
    """Files by the name of their module, and versions by the name of the distribution."""

    def __init__(self, search: list[str]) -> None:
        self._search = search
        self.files: dict[str, str] = {}
        self.distributions: dict[str, str] = {}

    def add_module(self, name: str) -> bool:
        """Add a module, or its distribution; tell whether there is one."""
        top = name.partition(".")[0]
        if top == _OWN or top in sys.stdlib_module_names:
            return True
        spec = self._spec(name)
        if spec is None:
            return False
        if spec.origin is None or _is_installed(Path(spec.origin)):
            for distribution in _distributions().get(top, ()):
                self.distributions[distribution] = importlib.metadata.version(distribution)
        elif name not in self.files:
            self.add_file(name, Path(spec.origin))
        return True

    def add_file(self, name: str, path: Path) -> None:
        """Add a file of the user's, and what it imports."""
        content = path.read_bytes()
        self.files[name] = hashlib.sha256(content).hexdigest()
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            return  # importing it says what is wrong
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for imported in _imports(tree, package):
            self.add_module(imported)

    def _spec(self, name: str) -> ModuleSpec | None:
        path: list[str] | None = self._search
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            whole = ".".join(parts[:count])
            spec = None if path is None else PathFinder.find_spec(whole, path)
            if spec is None and count == 1:
                spec = _spec_elsewhere(whole)
            if spec is None:
                return None
            if spec.origin is not None and count < len(parts) and not _is_installed(spec.origin):
                self._add_package(whole, Path(spec.origin))
            locations = spec.submodule_search_locations
            path = None if locations is None else list(locations)
        return spec

    def _add_package(self, name: str, path: Path) -> None:
        if name not in self.files:
            self.add_file(name, path)


def _spec_elsewhere(name: str) -> ModuleSpec | None:
    """Find a module that another finder than that of the path knows; nothing is imported."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: it runs, and nobody knows where it is from
        return None


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Give the full names of all modules that may be imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else ()), *((node.module,) if node.module else ())]
            base = ".".join(filter(None, parts))
            if base:
                yield base
            yield from (".".join(filter(None, (base, alias.name))) for alias in node.names)


def _is_installed(origin: str | Path) -> bool:
    return any(Path(origin).is_relative_to(place) for place in _installed_places())


@cache
def _installed_places() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@cache
def _distributions() -> Mapping[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
