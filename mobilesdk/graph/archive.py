"""Look at a zip archive from anywhere before anything in it is read."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from mobilesdk.errors import FileRejected, InvalidModel

MAX_ENTRIES = 100_000
MAX_TOTAL_BYTES = 16 << 30
MAX_RATIO = 100
_SMALL_BYTES = 64 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def checked_entries(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Give the entries of an archive by name; folders are left out.

    Refused are names that lead outside or stand twice, links, devices, encrypted entries,
    compression other than deflate, more than 100,000 entries, more than 16 GiB unpacked, and more
    than 64 MiB unpacked if that is more than 100 times the file's own size.

    Raises:
        FileRejected: It holds what it must not.
        InvalidModel: It is no zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise InvalidModel(
            f"{path.name} is no archive that can be read: {error}",
            hint="write the file again: it is damaged, or no file of this kind.",
        ) from error
    _check_sizes(path, entries)
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        fault = "stands there twice" if entry.filename in found else _fault(entry)
        if fault:
            raise _rejected(path, f"the entry {entry.filename!r} {fault}")
        found[entry.filename] = entry
    return {name: entry for name, entry in found.items() if not entry.is_dir()}


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise _rejected(path, f"{len(entries)} entries; at most {MAX_ENTRIES} are read")
    total_bytes = sum(entry.file_size for entry in entries)
    if total_bytes > MAX_TOTAL_BYTES:
        raise _rejected(path, f"{total_bytes} bytes; at most {MAX_TOTAL_BYTES} are read")
    size_bytes = path.stat().st_size
    if total_bytes > max(_SMALL_BYTES, MAX_RATIO * size_bytes):
        raise _rejected(path, f"{total_bytes} bytes in a file of {size_bytes}: an archive bomb")


def _fault(entry: zipfile.ZipInfo) -> str:
    """Say why an entry is refused; empty if it is not."""
    name = entry.orig_filename  # zipfile itself cuts a name at its first NUL
    if "\\" in name or "\0" in name or ":" in name.partition("/")[0] or name.startswith("/"):
        return "is no relative path"
    if ".." in PurePosixPath(name).parts:
        return "leads outside"
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return f"is compressed by method {entry.compress_type}"
    return ""


def _rejected(path: Path, what: str) -> FileRejected:
    return FileRejected(
        f"{path.name} is refused before it is read: {what}.",
        hint="get the file again from whom it comes, and compare its hash.",
    )
