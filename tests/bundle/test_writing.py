import os

import pytest

from mobilesdk.bundle.writing import new_folder, write_file
from mobilesdk.errors import OutputExists, WriteFailed


def listing(folder):
    return sorted(item.name for item in folder.iterdir())


def test_a_folder_appears_whole_at_the_end(tmp_path):
    with new_folder(tmp_path / "out") as temporary:
        (temporary / "file").write_text("content")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "file").read_text() == "content"
    assert listing(tmp_path) == ["out"]


def test_nothing_is_left_when_the_block_raises(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as temporary:
        (temporary / "file").write_text("half")
        raise RuntimeError
    assert listing(tmp_path) == []


def test_an_old_folder_stays_as_it_was_when_the_block_raises(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", overwrite=True):
        raise RuntimeError
    assert (tmp_path / "out" / "old").read_text() == "old"
    assert listing(tmp_path) == ["out"]


def test_an_old_folder_is_replaced_only_when_asked(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(OutputExists), new_folder(tmp_path / "out"):
        pass
    with new_folder(tmp_path / "out", overwrite=True) as temporary:
        (temporary / "new").write_text("new")
    assert listing(tmp_path / "out") == ["new"]
    assert listing(tmp_path) == ["out"]


def test_a_full_disk_is_a_write_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteFailed, match="No space left"):
        write_file(tmp_path / "file", b"content")
    with pytest.raises(WriteFailed, match="No space left"), new_folder(tmp_path / "out"):
        pass
    monkeypatch.undo()
    assert listing(tmp_path) == []


def test_another_operating_system_error_is_not_called_a_write_error(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()
