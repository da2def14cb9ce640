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

    Raises:
        FileRejected: The table is damaged, names a file twice or outside the folder, or points
            outside the payload.
    """
    nodes = _table(payload)
    files: dict[PurePosixPath, memoryview] = {}
    pending = [(PurePosixPath(), len(nodes) - 1)]
    while pending:
        path, place = pending.pop()
        node = nodes[place]
        if node.get("kind") == _FILE:
            files[path] = _content(payload, node)
            continue
        for name, child in node.get("children", {}).items():
            # Children stand before their folder, so no folder can hold itself.
            if not isinstance(child, int) or not 0 <= child < place or not _is_plain(name):
                raise FileRejected(f"A packed folder holds {name!r} at {child!r}.")
            pending.append((path / name, child))
        if len(files) + len(pending) > MAX_FILES:
            raise FileRejected(f"A packed folder holds more than {MAX_FILES} files.")
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
    return isinstance(node, dict) and isinstance(node.get("children", {}), dict)


def _content(payload: memoryview, node: Mapping[str, Any]) -> memoryview:
    region = node.get("dataRegion")
    if not isinstance(region, dict):
        raise FileRejected("A file of a packed folder has no place.")
    offset, size = region.get("offset"), region.get("size")
    if not isinstance(offset, int) or not isinstance(size, int):
        raise FileRejected("A file of a packed folder has no place.")
    if offset < 0 or size < 0 or offset + size > len(payload):
        raise FileRejected("A file of a packed folder lies outside the payload.")
    return payload[offset : offset + size]


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\\" not in name and "\0" not in name
