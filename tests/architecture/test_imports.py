"""What is imported when: nothing heavy before a command runs, no toolchain before a worker runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.utils import canonicalize_name

from mobilesdk import plugins
from mobilesdk.plugins import Kind, names
from tests.toolchains import TOOLCHAINS

BLOCKED = (*TOOLCHAINS, "torchvision", "triton", "jax")
HEAVY = (*BLOCKED, "numpy", "pydantic", "rich", "PIL", "safetensors")
HEADINGS = ("What it does", "When to use", "Cost", "Limits", "References")
PLUGINS = [(kind.value, name) for kind in Kind for name in names(kind)]

BLOCKER = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def loaded(code: str) -> set[str]:
    """Run code in a process of its own; give the top-level modules that it has loaded."""
    report = "\nimport sys; print('\\n' + ' '.join({n.partition('.')[0] for n in sys.modules}))"
    done = run(code + report)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def called(*arguments: str) -> str:
    """Give code that runs a command line and goes on."""
    return (
        "from mobilesdk.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit as end:\n    assert end.code == 0"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import mobilesdk",
        called("--help"),
        called("--version"),
        called("build", "--help"),
        called("explain", "usage"),
    ],
    ids=["import", "help", "version", "build help", "explain"],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded(code) & set(HEAVY) == set()


def test_what_is_loaded_is_seen() -> None:
    assert "numpy" in loaded("import numpy")


@pytest.mark.parametrize(
    "code",
    [called("targets"), called("targets", "--check", "targets"), called("doctor"), called("cache")],
    ids=["targets", "check", "doctor", "cache"],
)
def test_commands_that_convert_nothing_load_no_toolchain(code: str) -> None:
    assert loaded(code) & set(TOOLCHAINS) == set()


@pytest.fixture(scope="module")
def without_toolchains() -> dict[str, str]:
    """Load every plug-in where no toolchain can be imported; give what went wrong for each."""
    code = f"""{BLOCKER}
import json, traceback
from mobilesdk import plugins

found = {{}}
for kind, name in {PLUGINS!r}:
    try:
        getattr(plugins, kind.removesuffix("s"))(name)
        found[f"{{kind}}/{{name}}"] = ""
    except Exception:
        found[f"{{kind}}/{{name}}"] = traceback.format_exc()
print(json.dumps(found))
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    results: dict[str, str] = json.loads(done.stdout)
    return results


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plug_in_imports_without_its_toolchain(
    without_toolchains: dict[str, str], kind: str, name: str
) -> None:
    assert without_toolchains[f"{kind}/{name}"] == ""


def test_every_tool_of_a_plug_in_is_among_the_toolchains() -> None:
    found = packages_distributions()
    distributions = (name for module in TOOLCHAINS for name in found.get(module, ()))
    known = {canonicalize_name(name) for name in distributions}
    loaders = ((getattr(plugins, kind.removesuffix("s")), name) for kind, name in PLUGINS)
    tools = {tool.distribution for load, name in loaders for tool in load(name).tools}
    assert tools
    assert tools - known == set()


def test_no_toolchain_can_be_imported_there() -> None:
    attempts = "".join(
        f"\ntry:\n    import {name}\nexcept ModuleNotFoundError as error:\n    print(error)"
        for name in TOOLCHAINS
    )
    done = run(f"{BLOCKER}{attempts}")
    assert done.stdout.splitlines() == [f"{name} is blocked" for name in TOOLCHAINS]


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_a_plug_in_says_what_its_user_has_to_know(kind: str, name: str) -> None:
    text = plugins.source_path(Kind(kind), name).read_text(encoding="utf-8")
    docstring = text.partition('"""')[2].partition('"""')[0]
    found = re.findall(r"^(\w[\w ]*?):?$", docstring, re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == list(HEADINGS)
