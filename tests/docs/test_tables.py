"""Tables of the documentation hold what the code and the pins hold."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement
from packaging.version import Version

from mobilesdk.core.gate import Verification
from mobilesdk.core.parity import OutputParity
from mobilesdk.pipeline.doctor import rules
from mobilesdk.plugins import Kind
from mobilesdk.targets.budget import (
    AnyBudget,
    BoxBudget,
    EmbeddingBudget,
    MaskBudget,
    TokenBudget,
)

from .markdown import REPOSITORY, Page

TOOLCHAINS = Page(REPOSITORY / "docs" / "toolchains.md").text
VERIFICATION = Page(REPOSITORY / "docs" / "verification.md").text
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PLUGINS = Page(REPOSITORY / "docs" / "plugins.md").text


def section(text: str, heading: str) -> str:
    """Give the part of a page below a heading of level 2."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Give the cells of the rows of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [
        [cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]


def test_versions_are_those_of_the_pins() -> None:
    pinned = dict(
        re.findall(r"^([\w.-]+)==([\w.]+)", (REPOSITORY / "constraints.txt").read_text(), re.M)
    )
    stated = {row[0]: row[1] for row in rows(section(TOOLCHAINS, "Versions that go together"))}
    assert {name: pinned[name] for name in stated} == stated


def test_versions_hold_for_the_declared_requirements() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in extras.values() for text in extra)]
    stated = {row[0]: row[1] for row in rows(section(TOOLCHAINS, "Versions that go together"))}
    declared = [Requirement(text) for text in texts]
    checked = [each for each in declared if each.name in stated]
    assert {each.name for each in checked} == set(stated)
    assert all(Version(stated[each.name]) in each.specifier for each in checked)


def test_known_combinations_are_those_of_the_data_file() -> None:
    stated = [(row[0], row[1]) for row in rows(section(TOOLCHAINS, "Known combinations"))]
    assert stated == [(rule.id, rule.level) for rule in rules()]


def test_each_figure_is_explained() -> None:
    stated = {row[0] for row in rows(section(VERIFICATION, "Metrics"))}
    assert stated == set(OutputParity.model_fields) - {"name", "kind"}


def test_each_limit_is_explained() -> None:
    stated = {row[0] for row in rows(section(VERIFICATION, "Budgets"))}
    tables = (AnyBudget, BoxBudget, EmbeddingBudget, MaskBudget, TokenBudget)
    assert stated == {name for table in tables for name in table.model_fields}


def test_each_verification_state_is_explained() -> None:
    stated = [row[0] for row in rows(section(VERIFICATION, "Verification states"))]
    assert stated == [state.value for state in Verification]


def test_each_kind_of_plug_in_is_explained() -> None:
    for kind in Kind:
        assert f"`mobilesdk/{kind.value}/" in PLUGINS
        assert f"`mobilesdk.{kind.value}`" in PLUGINS


def test_files_and_folders_that_are_named_exist() -> None:
    paths = re.findall(r"`((?:mobilesdk|targets|tests|docs)/[\w./-]+)`", PLUGINS)
    assert paths
    missing = [path for path in paths if not (REPOSITORY / path).exists()]
    assert missing == []


def test_layers_are_those_that_import_linter_holds() -> None:
    contributing = Page(REPOSITORY / "CONTRIBUTING.md")
    (drawn,) = (code.text for code in contributing.code() if code.info == "text")
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["id"] == "layers")
    held = [
        [name for name in re.findall(r"[\w()]+", line) if not name.startswith("(")]
        for line in layers
        if line != "__main__"
    ]
    lines = [re.split(r"\s{2,}", line)[0] for line in drawn.splitlines()]
    assert [re.findall(r"\w+", line) for line in lines] == held
