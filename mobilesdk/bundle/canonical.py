"""JSON with one spelling: the same value gives the same bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Give UTF-8 JSON with sorted keys, no spaces, no NaN or infinity, and a final newline.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def sha256_json(value: Any) -> str:
    """Give the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def files_below(path: Path) -> list[Path]:
    """List the regular files below a folder, sorted by their relative POSIX path."""
    found = [item for item in path.rglob("*") if item.is_file() and not item.is_symlink()]
    return sorted(found, key=lambda item: item.relative_to(path).as_posix())


def tree_hash(path: Path) -> str:
    """Give one SHA-256 for a file, or for a folder by the names and hashes of its files.

    Of a folder it is the hash of the canonical JSON ``{relative path: SHA-256}``.
    """
    if path.is_file():
        return sha256_file(path)
    return sha256_json(
        {item.relative_to(path).as_posix(): sha256_file(item) for item in files_below(path)}
    )


def tree_size_bytes(path: Path) -> int:
    """Give the size of a file, or of all files below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in files_below(path))
