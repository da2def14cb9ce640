import contextlib
import itertools
import os
import signal
import sys

import pytest

from mobilesdk.bundle import new_folder as module
from mobilesdk.bundle.new_folder import new_folder, remove_unfinished
from mobilesdk.errors import OutputExists, WriteFailed

CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "ctypes.dlsym"}


def listing(folder):
    return sorted(item.name for item in folder.iterdir())


def write(path, text):
    with new_folder(path, overwrite=True) as temporary:
        (temporary / "first").write_text(text)
        (temporary / "second").write_text(text)


def read(path):
    """Give what a folder holds, or None; a folder that is not whole fails."""
    if not path.exists():
        return None
    assert listing(path) == ["first", "second"]
    first, second = ((path / name).read_text() for name in ("first", "second"))
    assert first == second
    return first


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
    write(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out", overwrite=True):
        raise RuntimeError
    assert read(tmp_path / "out") == "old"
    assert listing(tmp_path) == ["out"]


def test_an_old_folder_is_replaced_only_when_asked(tmp_path):
    write(tmp_path / "out", "old")
    with pytest.raises(OutputExists), new_folder(tmp_path / "out"):
        pass
    assert read(tmp_path / "out") == "old"
    write(tmp_path / "out", "new")
    assert read(tmp_path / "out") == "new"
    assert listing(tmp_path) == ["out"]


def test_a_full_disk_is_a_write_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteFailed, match="No space left"), new_folder(tmp_path / "out"):
        pass
    monkeypatch.undo()
    assert listing(tmp_path) == []


def test_another_operating_system_error_is_not_called_a_write_error(tmp_path):
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out"):
        (tmp_path / "missing").read_bytes()


def killed_while_writing(path, number):
    """Write a folder in a process that is killed before its n-th call of the file system."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    calls = itertools.count()

    def hear(event, arguments):
        if event in CALLS and next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    write(path, "new")
    os._exit(0)


@pytest.mark.parametrize(
    ("old", "swaps"), [(None, True), ("old", True), ("old", False)], ids=["new", "swap", "rename"]
)
def test_a_writer_that_is_killed_at_any_call_leaves_a_whole_folder_and_no_rubbish(
    tmp_path, monkeypatch, old, swaps
):
    if not swaps:
        monkeypatch.setattr(module, "_exchange", lambda *_: False)
    seen = set()
    for number in itertools.count():
        path = tmp_path / str(number) / "out"
        if old:
            write(path, old)
        if not killed_while_writing(path, number):
            assert read(path) == "new"
            break
        if swaps:
            seen.add(read(path))
        if path.parent.exists():
            remove_unfinished(path)
        assert read(path) in (old, "new")
        write(path, "next")
        assert read(path) == "next"
        assert listing(path.parent) == ["out"]
    assert number > 10
    assert not swaps or seen == {old, "new"}


@pytest.mark.parametrize(("overwrite", "stays"), [(True, "slow"), (False, "quick")])
def test_what_is_being_written_is_no_leftover_and_neither_is_another_folder(
    tmp_path, overwrite, stays
):
    others = [".out", ".out-notes", ".out.unfinished", ".out.unfinished-mine", ".outer.unfinished-"]
    for name in others:
        (tmp_path / name).mkdir()
    with contextlib.ExitStack() as stack:
        if not overwrite:
            stack.enter_context(pytest.raises(OutputExists))
        slow = stack.enter_context(new_folder(tmp_path / "out", overwrite=overwrite))
        (slow / "first").write_text("slow")
        write(tmp_path / "out", "quick")
        (slow / "second").write_text("slow")
    assert read(tmp_path / "out") == stays
    assert listing(tmp_path) == sorted([*others, "out"])
