"""Files that are whole or absent: a temporary neighbour, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from mobilesdk.errors import WriteFailed
from mobilesdk.units import format_bytes

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_NO_ACCESS = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR})
_LEAST_FREE_BYTES = 1 << 20


@contextmanager
def write_errors(what: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into `WriteFailed`; other errors pass.

    Reading can be refused, too: that concerns ``what`` only if the error names a place beside it.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE and not (error.errno in _NO_ACCESS and _is_at(error, what)):
            raise
        raise _failed(what, error) from error


def _failed(what: Path, error: OSError) -> WriteFailed:
    return WriteFailed(
        f"{what} could not be written: {error.strerror or error}.",
        hint="free some space or choose another folder; nothing half-made was left behind.",
    )


def require_writable(path: Path) -> None:
    """Try whether a file can be made beside a path, before long work.

    Raises:
        WriteFailed: The file system refused, as ``/proc`` does whatever the permissions say.
    """
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _failed(path, error) from error


def _is_at(error: OSError, what: Path) -> bool:
    place = error.filename
    if not isinstance(place, str | bytes | os.PathLike):
        return True
    path, parent = Path(os.fsdecode(place)).absolute(), what.absolute().parent
    return path.is_relative_to(parent) or parent.is_relative_to(path)


def is_full(path: Path) -> bool:
    """Tell whether the file system of an existing path has next to no space left."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize < _LEAST_FREE_BYTES


def require_space(needed_bytes: Mapping[Path, int]) -> None:
    """Look whether file systems have the room for what will be written, before hours of work.

    Args:
        needed_bytes: Folder, which need not exist → what is written there. Folders on one file
            system are added up.

    Raises:
        WriteFailed: One has not.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needed_bytes:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        needed = sum(needed_bytes[folder] for folder in folders)
        free = shutil.disk_usage(_existing(folders[0])).free
        if needed > free:
            raise WriteFailed(
                f"{' and '.join(map(str, folders))}: about {format_bytes(needed)} will be written "
                f"there, and {format_bytes(free)} are free.",
                hint="free some space, name another cache with XDG_CACHE_HOME, or build for fewer "
                "targets at a time with --target.",
            )


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def sync_tree(path: Path) -> None:
    """Flush a file, or a folder and everything below it, to the disk."""
    items = [path, *path.rglob("*")] if path.is_dir() else [path]
    for item in items:
        descriptor = os.open(item, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteFailed: The file system refused.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
