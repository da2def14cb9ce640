"""Modules stay short, and say what they are."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mobilesdk

PACKAGE = Path(mobilesdk.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_each_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_public_names_are_these() -> None:
    assert set(mobilesdk.__all__) == {
        "ArrayInput",
        "AudioInput",
        "BoxLayout",
        "Dimension",
        "ImageInput",
        "MaskLayout",
        "ModelSpec",
        "TokenInput",
        "build",
        "init",
        "inspect",
        "inspect_layers",
        "inspect_profile",
        "plan",
        "report",
        "verify",
    }


def test_each_public_name_can_be_had_and_no_other() -> None:
    for public in mobilesdk.__all__:
        assert getattr(mobilesdk, public).__doc__
    with pytest.raises(AttributeError, match="nothing_like_that"):
        _ = mobilesdk.nothing_like_that


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name for node in imports for alias in node.names} == set(mobilesdk.__all__)
