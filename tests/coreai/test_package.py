"""An asset is a folder of three files; one that was changed or holds others is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mobilesdk.coreai.package import HASH, METADATA, PROGRAM, open_asset
from mobilesdk.errors import FileRejected


@pytest.fixture
def asset(tmp_path: Path) -> Path:
    """An asset that has nothing wrong with it but its program."""
    path = tmp_path / "model.aimodel"
    path.mkdir()
    (path / PROGRAM).write_bytes(b"no program")
    (path / HASH).write_bytes(hashlib.sha256(b"no program").digest())
    (path / METADATA).write_text(json.dumps({"assetVersion": "2.0"}))
    return path


def test_what_holds_is_read_up_to_the_program(asset: Path) -> None:
    with pytest.raises(FileRejected, match="no MLIR bytecode"):
        open_asset(asset)


@pytest.mark.parametrize("name", [PROGRAM, HASH, METADATA])
def test_a_file_that_is_missing_is_named(asset: Path, name: str) -> None:
    (asset / name).unlink()
    with pytest.raises(FileRejected, match=name):
        open_asset(asset)


def test_a_link_is_refused(asset: Path, tmp_path: Path) -> None:
    (asset / PROGRAM).rename(tmp_path / "elsewhere")
    (asset / PROGRAM).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileRejected, match=PROGRAM):
        open_asset(asset)


def test_a_file_that_is_none_of_an_asset_is_refused(asset: Path) -> None:
    (asset / "main-universal.odix").write_bytes(b"")
    with pytest.raises(FileRejected, match="odix"):
        open_asset(asset)


def test_a_program_that_was_changed_is_refused(asset: Path) -> None:
    (asset / PROGRAM).write_bytes(b"another program")
    with pytest.raises(FileRejected, match=HASH):
        open_asset(asset)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"assetVersion": "3.0"}', "[" * 100_000])
def test_metadata_of_another_version_or_kind_are_refused(asset: Path, text: str) -> None:
    (asset / METADATA).write_text(text)
    with pytest.raises(FileRejected, match=r"JSON|version"):
        open_asset(asset)
