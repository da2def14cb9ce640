"""What every runtime has to hold to; a new file in the folder is tested by itself."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import FileRejected
from mobilesdk.plugins import PLUGIN_API, ExecutedBy, Runtime, discovery
from tests.toolchains import TOOLCHAINS

RUNTIMES = discovery.names(discovery.Kind.RUNTIMES)
HEADINGS = ("What it does", "When to use", "Cost", "Limits", "References")
NOTHING = ArtifactInfo(format="none", size_bytes=0, inputs=(), outputs=(), weights=(), ops=())

pytestmark = pytest.mark.parametrize("name", RUNTIMES)


def test_it_has_all_members(name: str) -> None:
    plugin = discovery.runtime(name)
    assert isinstance(plugin, Runtime)
    assert plugin.suffix.startswith(".")
    assert import_module(f"mobilesdk.runtimes.{name}").plugin_api == PLUGIN_API


def test_its_page_has_all_headings(name: str) -> None:
    page = import_module(f"mobilesdk.runtimes.{name}").__doc__ or ""
    assert [heading for heading in HEADINGS if heading not in page] == []


def test_it_says_who_executes(name: str) -> None:
    assert discovery.runtime(name).executes_by(NOTHING) in get_args(ExecutedBy)


@pytest.mark.parametrize("content", [b"", b"\0" * 64, bytes(range(256)) * 8, None])
def test_a_hostile_artifact_is_rejected(name: str, content: bytes | None, tmp_path: Path) -> None:
    plugin = discovery.runtime(name)
    path = tmp_path / f"model{plugin.suffix}"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(FileRejected):
        plugin.inspect(path)


def test_it_imports_without_any_toolchain(name: str) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({TOOLCHAINS})); "
        f"from mobilesdk.plugins import runtime; runtime({name!r}).tools"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
