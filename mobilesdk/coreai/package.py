"""Opening of ``.aimodel`` folders: the files of Core AI, no others, and a hash that holds."""

from __future__ import annotations

import hashlib
import json
import mmap
import stat
from dataclasses import dataclass
from pathlib import Path

from mobilesdk.coreai.bytecode import read_bytecode
from mobilesdk.coreai.program import Program
from mobilesdk.errors import FileRejected

PROGRAM, HASH, METADATA = "main.mlirb", "main.hash", "metadata.json"
MAX_METADATA_BYTES = 1 << 20
_ASSET_VERSION = "2.0"


@dataclass(frozen=True)
class Asset:
    """An opened asset.

    Attributes:
        path: Its folder.
        program: What it computes.
        size_bytes: Of all files.
    """

    path: Path
    program: Program
    size_bytes: int


def open_asset(path: Path) -> Asset:
    """Open an asset and read its program.

    Raises:
        FileRejected: A file is missing, damaged, a link, or one that Core AI does not know; or the
            program is not the one that the hash was made of.
    """
    sizes = _sizes(path)
    if sizes[METADATA] > MAX_METADATA_BYTES:
        raise FileRejected(f"{METADATA} is larger than {MAX_METADATA_BYTES} bytes.")
    _check_metadata((path / METADATA).read_bytes())
    data = _map(path / PROGRAM)
    if hashlib.sha256(data).digest() != (path / HASH).read_bytes():
        raise FileRejected(
            f"{PROGRAM} is not the program that {HASH} was made of.",
            hint="build the asset again, or copy it again: it was changed after it was written.",
        )
    return Asset(path, Program(read_bytecode(data)), sum(sizes.values()))


def _sizes(path: Path) -> dict[str, int]:
    """Give the size of each file; the folder has these and no others."""
    if path.is_symlink() or not path.is_dir():
        raise FileRejected(f"{path.name} is no folder.", hint="an .aimodel is a folder.")
    sizes: dict[str, int] = {}
    for item in sorted(path.iterdir()):
        status = item.lstat()
        if item.name not in (PROGRAM, HASH, METADATA) or not stat.S_ISREG(status.st_mode):
            raise FileRejected(f"{path.name} holds {item.name!r}, which is no file of an asset.")
        sizes[item.name] = status.st_size
    missing = {PROGRAM, HASH, METADATA} - sizes.keys()
    if missing:
        raise FileRejected(f"{path.name} has no {', '.join(sorted(missing))}.")
    return sizes


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:
        raise FileRejected(f"{path.name} is empty.") from error


def _check_metadata(data: bytes) -> None:
    try:
        metadata = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileRejected(f"{METADATA} is no JSON: {error}.") from error
    version = metadata.get("assetVersion") if isinstance(metadata, dict) else None
    if version != _ASSET_VERSION:
        raise FileRejected(f"The asset is of version {version!r}, not {_ASSET_VERSION!r}.")
