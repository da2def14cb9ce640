from __future__ import annotations

from pathlib import Path

import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.errors import ArtifactInvalid, FileRejected
from mobilesdk.plugins import runtime

PLUGIN = runtime("coreml")
EMPTY = ArtifactInfo(format="coreml", size_bytes=0, inputs=(), outputs=(), weights=(), ops=())


def test_it_says_that_nothing_was_run() -> None:
    assert "not executed on this machine yet" in PLUGIN.refuses(EMPTY)


def test_it_never_pretends_to_load(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match="not executed on this machine yet"):
        PLUGIN.load(tmp_path, Contract(inputs=(), outputs=()), 1)


def test_junk_is_rejected(tmp_path: Path) -> None:
    package = tmp_path / "m.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_bytes(b"\0\0\0")
    with pytest.raises(FileRejected):
        PLUGIN.inspect(package)
