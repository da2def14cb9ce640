"""Folders packed into bytes, as ExecuTorch's Core ML delegate keeps its package in a program.

The bytes are the contents of all files, one behind the other, and then a table in JSON, written
backwards, so that it is read from the end. The vendor's packer lists files in the order of the file
system; this one sorts them, so that equal folders give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mobilesdk.errors import FileRejected

ROOT = "lowered_module"
MAX_TABLE_BYTES = 1 << 20
MAX_FILES = 1000
MAX_NAME_BYTES = 255
_FILE, _FOLDER = 0, 1


def pack(files: Mapping[PurePosixPath, bytes]) -> bytes:
    """Pack files into bytes.

    Args:
        files: Path below the root → content.
    """
    packer = _Packer(files)
    packer.add_folder(PurePosixPath(), ROOT)
    table = json.dumps({"nodes": packer.nodes}, separators=(",", ":"), sort_keys=True)
    return b"".join([*packer.contents, table.encode()[::-1]])


def unpack(payload: memoryview) -> dict[PurePosixPath, memoryview]:
    """Give the files in a packed folder: path below the root → content, as views.

    No byte of the payload belongs to two files, so what is unpacked is never more than it.

    Raises:
        FileRejected: The table is damaged, names an entry twice, names one outside the folder, or
            gives files places that overlap or lie outside the payload.
    """
    nodes = _table(payload)
    if nodes[-1].get("kind") != _FOLDER:
        raise FileRejected("The root of a packed folder is no folder.")
    files: dict[PurePosixPath, memoryview] = {}
    regions: list[tuple[int, int]] = []
    unclaimed = set(range(len(nodes) - 1))
    pending = [(PurePosixPath(), len(nodes) - 1)]
    while pending:
        path, place = pending.pop()
        if nodes[place].get("kind") == _FILE:
            start, end = _region(payload, nodes[place])
            files[path] = payload[start:end]
            regions.append((start, end))
            continue
        for name, child in nodes[place].get("children", {}).items():
            if child not in unclaimed or not _is_plain(name):
                raise FileRejected(f"A packed folder holds {name!r} at {child!r}.")
            unclaimed.remove(child)
            pending.append((path / name, child))
        if len(files) + len(pending) > MAX_FILES:
            raise FileRejected(f"A packed folder holds more than {MAX_FILES} files.")
    _require_apart(regions)
    return files


@dataclass
class _Packer:
    files: Mapping[PurePosixPath, bytes]
    nodes: list[dict[str, Any]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def add_folder(self, path: PurePosixPath, name: str) -> int:
        """Add what is below a path, then the folder itself; give its place."""
        depth = len(path.parts)
        below = [file for file in self.files if file.parts[:depth] == path.parts]
        children = {}
        for child in sorted({file.parts[depth] for file in below}):
            inner = path / child
            is_file = inner in self.files
            children[child] = self._add_file(inner) if is_file else self.add_folder(inner, child)
        return self._add(name, _FOLDER, children, 0, 0)

    def _add_file(self, path: PurePosixPath) -> int:
        content = self.files[path]
        offset, self.size_bytes = self.size_bytes, self.size_bytes + len(content)
        self.contents.append(content)
        return self._add(path.name, _FILE, {}, offset, len(content))

    def _add(self, name: str, kind: int, children: dict[str, int], offset: int, size: int) -> int:
        region = {"offset": offset, "size": size}
        self.nodes.append({"name": name, "kind": kind, "children": children, "dataRegion": region})
        return len(self.nodes) - 1


def _table(payload: memoryview) -> list[dict[str, Any]]:
    text = bytes(payload[-MAX_TABLE_BYTES:])[::-1].decode("latin-1")
    try:
        table, _ = json.JSONDecoder().raw_decode(text)
        nodes = table["nodes"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FileRejected("A packed folder has no table at its end.") from error
    if not isinstance(nodes, list) or not nodes or not all(map(_is_node, nodes)):
        raise FileRejected("The table of a packed folder lists no files, or is damaged.")
    return nodes


def _is_node(node: object) -> bool:
    if not isinstance(node, dict) or not isinstance(node.get("children", {}), dict):
        return False
    return all(isinstance(child, int) for child in node.get("children", {}).values())


def _region(payload: memoryview, node: Mapping[str, Any]) -> tuple[int, int]:
    region = node.get("dataRegion")
    if not isinstance(region, dict):
        raise FileRejected("A file of a packed folder has no place.")
    offset, size = region.get("offset"), region.get("size")
    if not isinstance(offset, int) or not isinstance(size, int):
        raise FileRejected("A file of a packed folder has no place.")
    if offset < 0 or size < 0 or offset + size > len(payload):
        raise FileRejected("A file of a packed folder lies outside the payload.")
    return offset, offset + size


def _require_apart(regions: list[tuple[int, int]]) -> None:
    end = 0
    for start, after in sorted(region for region in regions if region[0] < region[1]):
        if start < end:
            raise FileRejected("Two files of a packed folder share bytes.")
        end = after


def _is_plain(name: str) -> bool:
    if name in ("", ".", "..") or not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        return False
    return "/" not in name and "\\" not in name
