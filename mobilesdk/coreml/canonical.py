"""Rewriting of a package to bytes that depend on its content alone.

coremltools writes maps in an order of its own, random identifiers and the date of conversion. Here
maps are sorted by key, identifiers follow from the content, the date is left out, and files that
Core ML does not read are dropped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from mobilesdk.coreml.package import find_files
from mobilesdk.coreml.wire import (
    LENGTH,
    MAX_DEPTH,
    VARINT,
    iterate,
    write_bytes,
    write_varint,
)
from mobilesdk.errors import FileRejected

CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"
_AUTHOR = "com.apple.CoreML"


@dataclass(frozen=True)
class _Child:
    """A field that holds a message, or a map of messages (empty name: of plain values)."""

    message: str
    is_map: bool = False


# Every path of Model.proto and MIL.proto that leads to a map: message → field number → child.
_SCHEMA: dict[str, dict[int, _Child]] = {
    "Model": {2: _Child("ModelDescription"), 502: _Child("Program")},
    "ModelDescription": {100: _Child("Metadata")},
    "Metadata": {100: _Child("", is_map=True)},
    "Program": {2: _Child("Function", is_map=True), 4: _Child("Value", is_map=True)},
    "Function": {
        1: _Child("NamedValueType"),
        3: _Child("Block", is_map=True),
        4: _Child("Value", is_map=True),
    },
    "Block": {
        1: _Child("NamedValueType"),
        3: _Child("Operation"),
        4: _Child("Value", is_map=True),
    },
    "Operation": {
        2: _Child("Argument", is_map=True),
        3: _Child("NamedValueType"),
        4: _Child("Block"),
        5: _Child("Value", is_map=True),
    },
    "Argument": {1: _Child("Binding")},
    "Binding": {2: _Child("Value")},
    "NamedValueType": {2: _Child("ValueType")},
    "ValueType": {
        1: _Child("TensorType"),
        2: _Child("ListType"),
        3: _Child("TupleType"),
        4: _Child("DictionaryType"),
        5: _Child("StateType"),
    },
    "TensorType": {4: _Child("Value", is_map=True)},
    "ListType": {1: _Child("ValueType")},
    "TupleType": {1: _Child("ValueType")},
    "DictionaryType": {1: _Child("ValueType"), 2: _Child("ValueType")},
    "StateType": {1: _Child("ValueType")},
    "Value": {2: _Child("ValueType"), 3: _Child("ImmediateValue")},
    "ImmediateValue": {2: _Child("Values"), 3: _Child("Values"), 4: _Child("DictionaryValue")},
    "Values": {1: _Child("Value")},
    "DictionaryValue": {1: _Child("KeyValuePair")},
    "KeyValuePair": {1: _Child("Value"), 2: _Child("Value")},
}


def canonicalize(source: Path, destination: Path) -> None:
    """Write a package again, canonically.

    Args:
        source: A package with one model and its weight files.
        destination: A folder that does not exist yet.

    Raises:
        FileRejected: The source is damaged.
    """
    layout = find_files(source)
    folder = layout.model.parent
    data = destination / "Data" / _AUTHOR
    data.mkdir(parents=True)
    (data / "model.mlmodel").write_bytes(canonical_model(layout.model.read_bytes()))
    items = {"model.mlmodel": "CoreML Model Specification"}
    if (folder / "weights").is_dir():
        shutil.copytree(folder / "weights", data / "weights")
        items["weights"] = "CoreML Model Weights"
    (destination / "Manifest.json").write_text(_manifest(data, items), encoding="utf-8")


def canonical_model(data: bytes) -> bytes:
    """Rewrite a ``.mlmodel``: fields by number, maps by key, no date of conversion.

    Raises:
        FileRejected: It is no protobuf.
    """
    return _rewrite(memoryview(data), "Model", 0)


def _rewrite(data: memoryview, name: str, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise FileRejected(f"protobuf: messages are nested deeper than {MAX_DEPTH}.")
    children = _SCHEMA.get(name, {})
    fields: list[tuple[int, bytes, bytes]] = []
    for number, wire_type, value in iterate(data):
        child = children.get(number)
        if isinstance(value, int):
            fields.append((number, b"", write_varint(number << 3 | VARINT) + write_varint(value)))
        elif wire_type != LENGTH:
            fields.append((number, b"", write_varint(number << 3 | wire_type) + bytes(value)))
        elif child and child.is_map:
            key, entry = _rewrite_entry(value, child.message, depth + 1)
            if (name, key) != ("Metadata", CONVERSION_DATE.encode()):
                fields.append((number, key, write_bytes(number, entry)))
        else:
            content = _rewrite(value, child.message, depth + 1) if child else bytes(value)
            fields.append((number, b"", write_bytes(number, content)))
    return b"".join(field for _, _, field in sorted(fields, key=lambda item: item[:2]))


def _rewrite_entry(data: memoryview, value_name: str, depth: int) -> tuple[bytes, bytes]:
    """Rewrite one entry of a map; give its key and the entry."""
    key, parts = b"", []
    for number, wire_type, value in iterate(data):
        if wire_type != LENGTH or isinstance(value, int):
            raise FileRejected(
                "protobuf: a map has a key or value that is neither text nor message."
            )
        content = bytes(value)
        if number == 1:
            key = content
        elif value_name:
            content = _rewrite(value, value_name, depth + 1)
        parts.append((number, write_bytes(number, content)))
    return key, b"".join(part for _, part in sorted(parts, key=lambda item: item[0]))


def _manifest(data: Path, items: dict[str, str]) -> str:
    identifiers = {name: _identifier(data / name) for name in items}
    entries = {
        identifiers[name]: {
            "author": _AUTHOR,
            "description": description,
            "name": name,
            "path": f"{_AUTHOR}/{name}",
        }
        for name, description in items.items()
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": identifiers["model.mlmodel"],
    }
    return json.dumps(manifest, indent=4, sort_keys=True) + "\n"


def _identifier(path: Path) -> str:
    """Derive a UUID, in the form of a name-based one, from a name and the content below it."""
    digest = hashlib.sha256(path.name.encode())
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return str(UUID(bytes=digest.digest()[:16], version=5))
