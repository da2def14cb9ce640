from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.coreml.canonical import CONVERSION_DATE, canonical_model, canonicalize
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.wire import iterate, write_bytes

from .building import Builder, entry, number, write_package


def builder() -> Builder:
    made = Builder()
    made.constant("w", np.ones((2, 2)), "float16")
    made.consume("w")
    return made


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@given(st.permutations([f"key{index}" for index in range(6)]))
def test_maps_in_any_order_give_the_same_bytes(keys: list[str]) -> None:
    def model(order: list[str]) -> bytes:
        pairs = b"".join(write_bytes(100, entry(key, b"value")) for key in order)
        operation = b"".join(write_bytes(2, entry(key, b"")) for key in order)
        block = write_bytes(3, operation)
        function = write_bytes(3, entry("CoreML8", block))
        program = write_bytes(2, entry("main", function))
        return write_bytes(502, program) + write_bytes(2, write_bytes(100, pairs)) + number(1, 9)

    assert canonical_model(model(keys)) == canonical_model(model(sorted(keys)))


def test_the_order_of_operations_is_kept() -> None:
    operations = [write_bytes(1, name.encode()) for name in ("z", "a", "m")]
    block = b"".join(write_bytes(3, operation) for operation in operations)
    program = write_bytes(2, entry("main", write_bytes(3, entry("CoreML8", block))))
    assert canonical_model(write_bytes(502, program)) == write_bytes(502, program)


def test_the_date_goes_and_nothing_else(tmp_path: Path) -> None:
    original = builder().model()
    canonical = canonical_model(original)
    assert CONVERSION_DATE.encode() in original
    assert CONVERSION_DATE.encode() not in canonical
    assert canonical_model(canonical) == canonical
    assert [field[0] for field in iterate(memoryview(canonical))] == [1, 2, 502]
    first, second = (
        Package(write_package(tmp_path / name, model, builder().weights.content())).model.program
        for name, model in (("a", original), ("b", canonical))
    )
    assert str(first) == str(second)


def test_two_packages_of_one_content_become_one(tmp_path: Path) -> None:
    first = builder().package(tmp_path / "first.mlpackage")
    second = tmp_path / "second.mlpackage"
    shutil.copytree(first, second)
    manifest = json.loads((second / "Manifest.json").read_text())
    manifest["rootModelIdentifier"] = "other"
    manifest["itemInfoEntries"]["other"] = manifest["itemInfoEntries"].pop("a")
    (second / "Manifest.json").write_text(json.dumps(manifest))
    (second / "executorch_debug_handle_mapping.json").write_text("{}")
    for name in ("first", "second"):
        canonicalize(tmp_path / f"{name}.mlpackage", tmp_path / f"{name}_canonical")
    assert files(tmp_path / "first_canonical") == files(tmp_path / "second_canonical")
    assert len(files(tmp_path / "second_canonical")) == 3


def test_identifiers_follow_the_content(tmp_path: Path) -> None:
    canonicalize(builder().package(tmp_path / "a"), tmp_path / "a_canonical")
    other = builder()
    other.constant("v", np.zeros((2, 2)), "float16")
    canonicalize(other.package(tmp_path / "b"), tmp_path / "b_canonical")
    first, second = (
        json.loads((tmp_path / f"{name}_canonical/Manifest.json").read_text()) for name in "ab"
    )
    assert first["rootModelIdentifier"] != second["rootModelIdentifier"]
    assert len(first["itemInfoEntries"]) == 2
