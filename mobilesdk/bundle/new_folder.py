"""Folders that are whole or absent, also if the process is killed while it writes one.

A folder is written in a neighbour of its place, ``.NAME.unfinished-XXXXXXXX``:

- ``lock``: locked as long as somebody writes. What nobody has locked was left by a process that
  was killed, and goes when a folder of that name is written next.
- ``content``: what becomes the folder.
- ``old``: the folder that is being replaced, on file systems that cannot swap two folders at once.
  If its writer was killed between the two steps, it is put back.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mobilesdk.bundle.writing import sync_tree, write_errors
from mobilesdk.errors import OutputExists

_CONTENT, _OLD = "content", "old"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty temporary folder that becomes ``path`` when the block ends well.

    When the block raises, the temporary folder is removed and ``path`` is as it was.

    Raises:
        OutputExists: ``path`` exists, and ``overwrite`` is false.
        WriteFailed: The file system refused.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path)
    _require_place(path, overwrite)
    with write_errors(path), _unfinished(path) as unfinished:
        yield unfinished / _CONTENT
        sync_tree(unfinished / _CONTENT)
        _require_place(path, overwrite)
        if path.exists():
            _replace(path, unfinished / _CONTENT, unfinished / _OLD)
        else:
            (unfinished / _CONTENT).rename(path)


def _require_place(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise OutputExists(
            f"{path} exists.", hint="give --overwrite to replace it, or name another folder."
        )


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes left of a folder; put back one that was being replaced.

    Raises:
        OSError: The file system refused.
    """
    name = re.compile(re.escape(_prefix(path)) + r"[a-z0-9_]{8}")
    for left in path.parent.iterdir():
        if not name.fullmatch(left.name):
            continue
        lock = _lock(left)
        if lock is None:
            continue
        try:
            if (left / _OLD).exists() and not path.exists():
                (left / _OLD).rename(path)
            _remove(left)
        finally:
            os.close(lock)


def _prefix(path: Path) -> str:
    return f".{path.name}.unfinished-"


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """Give a locked neighbour of a place, with an empty ``content``; it is gone afterwards."""
    made = None
    while made is None:
        made = _new_unfinished(path)
    folder, lock = made
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _new_unfinished(path: Path) -> tuple[Path, int] | None:
    """Make one; ``None`` if somebody took it for a leftover before it was locked."""
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path)))
    lock = None
    try:
        lock = _lock(folder)
        if lock is None:
            return None
        (folder / _CONTENT).mkdir()
    except BaseException as error:
        if lock is not None:
            os.close(lock)
        if isinstance(error, FileNotFoundError):
            return None
        shutil.rmtree(folder)
        raise
    return folder, lock


def _remove(folder: Path) -> None:
    """Remove an unfinished folder; half of an old one is never taken for one to put back."""
    if (folder / _OLD).exists():
        (folder / _OLD).rename(folder / "replaced")
    shutil.rmtree(folder)


def _lock(folder: Path) -> int | None:
    """Lock a folder for as long as the descriptor is open; ``None`` if somebody else has it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _replace(path: Path, content: Path, old: Path) -> None:
    """Put a finished folder in place of an old one, in one step where the file system can."""
    if _exchange(content, path):
        return
    path.rename(old)
    try:
        content.rename(path)
    except OSError:
        old.rename(path)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change their names at once; tell whether the file system can.

    Source: renameat2(2).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if not libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))
