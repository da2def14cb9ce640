"""Which toolchains are here, which versions of them are known not to work, and what to do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import tomllib
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import ToolchainMissing
from mobilesdk.pipeline.keys import version_of
from mobilesdk.plugins import Kind, Tool, compressor, exporter, frontend, names, runtime

_DISTRIBUTION = "mobilesdk"
_RULES = Path(__file__).with_name("known_bad.toml")


class Rule(Frozen):
    """A combination of versions; see ``known_bad.toml``."""

    id: str
    when: tuple[str, ...]
    level: Literal["broken", "avoided", "untested"]
    what: str
    fix: str
    source: str


class ToolState(Frozen):
    """One distribution as found.

    Attributes:
        version: Installed version; ``None`` if it is missing.
        install: The line that installs it; empty if no extra does.
        needed: Whether a plug-in needs it; the others are in an extra or a known combination.
    """

    distribution: str
    version: str | None
    install: str
    needed: bool


class Diagnosis(Frozen):
    """What `doctor` found.

    Attributes:
        rules: Known combinations that hold here.
    """

    python: str
    tools: tuple[ToolState, ...]
    rules: tuple[Rule, ...]

    @property
    def healthy(self) -> bool:
        """Whether all that plug-ins need is there and no combination is broken."""
        return all(tool.version for tool in self.tools if tool.needed) and not any(
            rule.level == "broken" for rule in self.rules
        )


def rules() -> tuple[Rule, ...]:
    """Read the known combinations."""
    data = tomllib.loads(_RULES.read_text())
    return tuple(Rule.model_validate(rule) for rule in data["rule"])


def holding_rules() -> tuple[Rule, ...]:
    """Give the known combinations that the installed versions make up."""
    return tuple(rule for rule in rules() if all(map(_holds, rule.when)))


def _holds(text: str) -> bool:
    requirement = Requirement(text)
    version = version_of(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def all_tools() -> tuple[Tool, ...]:
    """Give the toolchains of every plug-in, by name."""
    needed = [
        *(frontend(name).tools for name in names(Kind.FRONTENDS)),
        *(compressor(name).tools for name in names(Kind.COMPRESSORS)),
        *(exporter(name).tools for name in names(Kind.EXPORTERS)),
        *(runtime(name).tools for name in names(Kind.RUNTIMES)),
    ]
    found = {tool.distribution: tool for tools in needed for tool in tools}
    return tuple(found[name] for name in sorted(found))


def install_line(tools: Iterable[Tool]) -> str:
    """Give the line that installs the toolchains, without extras that others of it hold."""
    extras = {tool.extra for tool in tools}
    held = {extra: set[str]() for extra in extras}
    for tool in _tools_of_extras():
        if tool.extra in extras:
            held[tool.extra].add(tool.distribution)
    chosen = {
        each
        for each in extras
        if not (held[each] and any(held[each] < held[other] for other in extras))
    }
    return f"pip install 'mobilesdk[{','.join(sorted(chosen))}]'"


def diagnose() -> Diagnosis:
    """Look at all that plug-ins need, extras install and rules name; nothing is imported."""
    needed = {tool.distribution: tool for tool in all_tools()}
    by_extra = {tool.distribution: tool for tool in _tools_of_extras()} | needed
    ruled = {Requirement(text).name for rule in rules() for text in rule.when}
    return Diagnosis(
        python=platform.python_version(),
        tools=tuple(
            ToolState(
                distribution=name,
                version=version_of(name),
                install=install_line([by_extra[name]]) if name in by_extra else "",
                needed=name in needed,
            )
            for name in sorted({*by_extra, *ruled})
        ),
        rules=holding_rules(),
    )


def _tools_of_extras() -> Iterator[Tool]:
    """Give what the extras of mobilesdk install, each with an extra that does."""
    metadata = importlib.metadata.metadata(_DISTRIBUTION)
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    for extra in metadata.get_all("Provides-Extra") or []:
        for requirement in requirements:
            marker = requirement.marker
            if extra != "all" and marker is not None and marker.evaluate({"extra": extra}):
                yield Tool(distribution=requirement.name, extra=extra)


def _shadow(tool: Tool) -> str | None:
    """Give the file by which a folder of ``PYTHONPATH`` hides a toolchain; nothing is imported."""
    folders = [Path(each).resolve() for each in os.environ.get("PYTHONPATH", "").split(":") if each]
    found = PathFinder.find_spec(tool.distribution.replace("-", "_"), list(map(str, folders)))
    if found is None or found.origin is None or version_of(tool.distribution) is None:
        return None
    installed = Path(str(importlib.metadata.distribution(tool.distribution).locate_file("")))
    return None if installed.resolve() in folders else found.origin


def require(tools: Iterable[Tool]) -> None:
    """Check that toolchains are there, at versions that are not known to break.

    Raises:
        ToolchainMissing: One is not, with the line that mends it.
    """
    faults = tool_faults(tools)
    if faults:
        raise ToolchainMissing(" ".join(faults), hint="; ".join(faults.values()))


def tool_faults(tools: Iterable[Tool]) -> dict[str, str]:
    """Give what is wrong with toolchains: all missing as one, then what is hidden or broken.

    Returns:
        What is wrong → the line that mends it.
    """
    wanted = {tool.distribution: tool for tool in tools}
    missing = [tool for name, tool in sorted(wanted.items()) if version_of(name) is None]
    faults = {}
    if missing:
        names_of_missing = ", ".join(tool.distribution for tool in missing)
        faults[f"Not installed: {names_of_missing}."] = install_line(missing)
    for tool in wanted.values():
        if file := _shadow(tool):
            what = f"{file} stands in for {tool.distribution}: PYTHONPATH puts it before."
            faults[what] = "rename the file, or take its folder out of PYTHONPATH."
    for rule in holding_rules():
        concerned = {Requirement(text).name for text in rule.when} & set(wanted)
        if rule.level == "broken" and concerned:
            faults[f"{', '.join(rule.when)}: {rule.what}"] = rule.fix
    return faults
