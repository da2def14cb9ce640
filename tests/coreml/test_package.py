"""Damaged and hostile packages are rejected, each for its own reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.package import Package
from mobilesdk.errors import FileRejected

from .building import Builder, write_package


def read_all(path: Path) -> dict[str, np.ndarray]:
    package = Package(path)
    constants = Constants(package, package.model.program.functions["main"])
    return {name: constants.decode(name) for name in constants}


def simple(**lies: int) -> Builder:
    builder = Builder()
    builder.constant("w", np.arange(8.0).reshape(2, 4), "float16", **lies)
    builder.consume("w")
    return builder


def test_a_sound_package_is_read(tmp_path: Path) -> None:
    assert read_all(simple().package(tmp_path / "m.mlpackage"))["w"].tolist() == [
        [0.0, 1.0, 2.0, 3.0],
        [4.0, 5.0, 6.0, 7.0],
    ]


@pytest.mark.parametrize(
    ("lies", "reason"),
    [
        ({"sentinel": 0xDEADBEE0}, "begins with 0xdeadbee0"),
        ({"number": 2}, "holds float32 where float16 is declared"),
        ({"number": 99}, "holds type 99"),
        ({"size": 14}, "14 bytes do not hold 8 elements"),
        ({"size": 2**63}, "do not hold 8 elements"),
        ({"start": 2**63}, "past the end"),
        ({"start": 190}, "past the end"),
        ({"unused": 3}, "3 unused bits"),
    ],
)
def test_a_lying_record_is_rejected(tmp_path: Path, lies: dict[str, int], reason: str) -> None:
    with pytest.raises(FileRejected, match=reason):
        read_all(simple(**lies).package(tmp_path / "m.mlpackage"))


@pytest.mark.parametrize("offset", [0, 32, 65, 4096, 2**62])
def test_a_reference_to_no_record_is_rejected(tmp_path: Path, offset: int) -> None:
    builder = Builder()
    value = builder.reference(offset, "float16", (2, 4))
    builder.add("const", {}, [("w", "float16", (2, 4))], {"val": value})
    builder.weights.add(np.zeros(8), "float16")
    with pytest.raises(FileRejected, match="record at"):
        read_all(builder.package(tmp_path / "m.mlpackage"))


@pytest.mark.parametrize("kept_bytes", [10, 64, 130, 135])
def test_a_truncated_weight_file_is_rejected(tmp_path: Path, kept_bytes: int) -> None:
    builder = simple()
    path = write_package(
        tmp_path / "m.mlpackage", builder.model(), builder.weights.content()[:kept_bytes]
    )
    with pytest.raises(FileRejected, match=r"shorter|outside the file|past the end"):
        read_all(path)


def test_another_storage_version_is_rejected(tmp_path: Path) -> None:
    builder = simple()
    weights = bytearray(builder.weights.content())
    weights[4] = 1
    path = write_package(tmp_path / "m.mlpackage", builder.model(), bytes(weights))
    with pytest.raises(FileRejected, match="storage version 1"):
        read_all(path)


@pytest.mark.parametrize(
    "file",
    [
        "/etc/passwd",
        "@model_path/../../../../etc/passwd",
        "@model_path/weights/../../../secret",
        "@model_path//etc/passwd",
        "@model_path/weights\\weight.bin",
        "@model_path/weights/other.bin",
        "weights/weight.bin",
    ],
)
def test_a_weight_file_outside_the_package_is_rejected(tmp_path: Path, file: str) -> None:
    builder = Builder()
    value = builder.reference(64, "float16", (2, 4), file)
    builder.add("const", {}, [("w", "float16", (2, 4))], {"val": value})
    with pytest.raises(FileRejected, match=r"A constant lies in|may leave its folder"):
        read_all(builder.package(tmp_path / "m.mlpackage"))


@pytest.mark.parametrize(
    "path",
    [
        "../../outside.mlmodel",
        "/etc/passwd",
        "a/../../../x",
        "com.apple.CoreML/./model.mlmodel",
        "",
    ],
)
def test_a_manifest_that_points_outside_is_rejected(tmp_path: Path, path: str) -> None:
    builder = simple()
    (tmp_path / "outside.mlmodel").write_bytes(builder.model())
    package = write_package(
        tmp_path / "m.mlpackage",
        builder.model(),
        builder.weights.content(),
        itemInfoEntries={"a": {"path": path}},
    )
    with pytest.raises(FileRejected, match="may leave its folder"):
        Package(package)


@pytest.mark.parametrize(
    "manifest",
    [
        {"rootModelIdentifier": "c"},
        {"rootModelIdentifier": 7},
        {"itemInfoEntries": []},
        {"itemInfoEntries": {"a": {"path": 1}}},
        {"itemInfoEntries": {"a": {"path": "com.apple.CoreML/none.mlmodel"}}},
    ],
)
def test_a_manifest_without_a_model_is_rejected(
    tmp_path: Path, manifest: dict[str, object]
) -> None:
    builder = simple()
    package = write_package(tmp_path / "m.mlpackage", builder.model(), b"", **manifest)
    with pytest.raises(FileRejected, match=r"Manifest\.json"):
        Package(package)


def _link_weights(package: Path) -> None:
    weights = package / "Data/com.apple.CoreML/weights/weight.bin"
    shutil.move(weights, package.parent / "elsewhere.bin")
    weights.symlink_to(package.parent / "elsewhere.bin")


def _link_folder(package: Path) -> None:
    folder = package / "Data/com.apple.CoreML/weights"
    shutil.move(folder, package.parent / "elsewhere")
    folder.symlink_to(package.parent / "elsewhere")


def _pipe(package: Path) -> None:
    os.mkfifo(package / "pipe")


@pytest.mark.parametrize("damage", [_link_weights, _link_folder, _pipe])
def test_links_and_special_files_are_rejected(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    package = simple().package(tmp_path / "m.mlpackage")
    damage(package)
    with pytest.raises(FileRejected, match="a link or a special file"):
        Package(package)


def test_what_is_no_package_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file.mlpackage").write_text("text")
    for name, told in (("missing", "There is no package .*missing"), ("file", "not a Core ML")):
        with pytest.raises(FileRejected, match=told):
            Package(tmp_path / f"{name}.mlpackage")
    package = simple().package(tmp_path / "m.mlpackage")
    (package / "Manifest.json").write_text("[" * 100_000)
    with pytest.raises(FileRejected, match="not JSON"):
        Package(package)
    (package / "Manifest.json").unlink()
    with pytest.raises(FileRejected, match=r"no Manifest\.json"):
        Package(package)
    (tmp_path / "link.mlpackage").symlink_to(package)
    with pytest.raises(FileRejected, match="is a symbolic link"):
        Package(tmp_path / "link.mlpackage")


def test_a_model_that_is_no_ml_program_is_rejected(tmp_path: Path) -> None:
    package = write_package(tmp_path / "m.mlpackage", b"\x08\x04", b"")
    with pytest.raises(FileRejected, match="no ML Program"):
        Package(package)


def test_constants_that_refer_to_themselves_or_nothing_are_rejected(tmp_path: Path) -> None:
    for number, target in enumerate(("self", "later", "x")):
        builder = Builder()
        builder.add(
            "constexpr_cast",
            {"source_val": target},
            [("self", "float32", (2,))],
        )
        with pytest.raises(FileRejected, match="no constant"):
            read_all(builder.package(tmp_path / f"{number}.mlpackage"))


def test_long_chains_and_double_names_are_rejected(tmp_path: Path) -> None:
    builder = Builder()
    builder.constant("c0", np.zeros(4), "float16")
    for index in range(20):
        builder.add(
            "constexpr_cast", {"source_val": f"c{index}"}, [(f"c{index + 1}", "float32", (4,))]
        )
    with pytest.raises(FileRejected, match="nests more than"):
        read_all(builder.package(tmp_path / "chain.mlpackage"))
    builder = Builder()
    builder.constant("w", np.zeros(4), "float16")
    builder.constant("w", np.zeros(4), "float16")
    with pytest.raises(FileRejected, match="two constants are named 'w'"):
        read_all(builder.package(tmp_path / "double.mlpackage"))


def test_a_constant_of_absurd_size_is_rejected_before_memory_is_taken(tmp_path: Path) -> None:
    builder = Builder()
    value = builder.reference(64, "float16", (2**20, 2**20))
    builder.add("const", {}, [("w", "float16", (2**20, 2**20))], {"val": value})
    builder.weights.add(np.zeros(8), "float16")
    with pytest.raises(FileRejected, match="shape"):
        read_all(builder.package(tmp_path / "m.mlpackage"))
