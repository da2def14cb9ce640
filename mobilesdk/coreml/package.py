"""Opening of ``.mlpackage`` folders: manifest, model, weight files; nothing outside the folder."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mobilesdk.coreml.blob import BlobFile
from mobilesdk.coreml.model import MLModel, read_model
from mobilesdk.errors import FileRejected

MAX_MANIFEST_BYTES = 1 << 20
MAX_MODEL_BYTES = 1 << 29
MAX_FILES = 1000
MODEL_PATH = "@model_path/"


@dataclass(frozen=True)
class Layout:
    """The files of a package.

    Attributes:
        root: The package.
        model: The ``.mlmodel`` file.
        files: All files, relative to ``root``, sorted.
        size_bytes: Of all files.
    """

    root: Path
    model: Path
    files: tuple[PurePosixPath, ...]
    size_bytes: int


class Package:
    """An opened package: the model as typed values, and access to its weight files."""

    def __init__(self, path: Path) -> None:
        """Open and read the package.

        Raises:
            FileRejected: It is damaged, has links in it, or its manifest points outside of it.
        """
        self.layout = find_files(path)
        if self.layout.model.stat().st_size > MAX_MODEL_BYTES:
            raise FileRejected(f"{self.layout.model.name} is larger than {MAX_MODEL_BYTES} bytes.")
        self.model: MLModel = read_model(self.layout.model.read_bytes())
        self._blobs: dict[str, BlobFile] = {}

    def blob_file(self, name: str) -> BlobFile:
        """Give the weight file that a constant names.

        Args:
            name: As written in the program: ``@model_path/weights/weight.bin``.

        Raises:
            FileRejected: The name does not point at a file of the package.
        """
        if name not in self._blobs:
            if not name.startswith(MODEL_PATH):
                raise FileRejected(f"A constant lies in {name!r}, not under {MODEL_PATH}.")
            folder = PurePosixPath(self.layout.model.relative_to(self.layout.root).parent)
            relative = _confined(folder, name.removeprefix(MODEL_PATH))
            if relative not in self.layout.files:
                raise FileRejected(f"A constant lies in {name!r}, which the package lacks.")
            self._blobs[name] = BlobFile(self.layout.root / relative)
        return self._blobs[name]

    def release_weights(self) -> None:
        """Give the memory of what was read of the weight files back to the system."""
        for blob in self._blobs.values():
            blob.release()

    def map_weights(self) -> None:
        """Map all weight files now, so that the package may be deleted while it is in use."""
        folder = self.layout.model.parent
        for path in (self.layout.root / name for name in self.layout.files):
            if path.suffix == ".bin" and path.is_relative_to(folder):
                self.blob_file(MODEL_PATH + path.relative_to(folder).as_posix())


def find_files(path: Path) -> Layout:
    """List the files of a package and find its model.

    Raises:
        FileRejected: It does not exist, is no package or a link, has links or special files in it,
            or its manifest points outside of it.
    """
    try:
        is_link, exists, is_folder = path.is_symlink(), path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise FileRejected(f"There can be no package at {path}: {error}") from error
    if is_link:
        raise FileRejected(f"{path.name} is a symbolic link.", hint="give what it points to.")
    if not exists:
        raise FileRejected(f"There is no package {path}.", hint="check the path.")
    if not is_folder:
        raise FileRejected(f"{path.name} is not a Core ML package (a folder with Manifest.json).")
    files, size_bytes = _list(path)
    model = _root_model(path, files)
    return Layout(path, path / model, files, size_bytes)


def _list(root: Path) -> tuple[tuple[PurePosixPath, ...], int]:
    files, size_bytes = [], 0
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        relative = PurePosixPath(path.relative_to(root))
        if stat.S_ISREG(mode):
            files.append(relative)
            size_bytes += path.lstat().st_size
        elif not stat.S_ISDIR(mode):
            raise FileRejected(f"{relative} in the package is a link or a special file.")
        if len(files) > MAX_FILES:
            raise FileRejected(f"The package has more than {MAX_FILES} files.")
    return tuple(files), size_bytes


def _root_model(root: Path, files: tuple[PurePosixPath, ...]) -> PurePosixPath:
    manifest = _manifest(root, files)
    entries = manifest.get("itemInfoEntries")
    identifier = manifest.get("rootModelIdentifier")
    if not isinstance(entries, dict) or not isinstance(identifier, str):
        raise FileRejected("Manifest.json names no model.")
    paths = {key: _item_path(entry) for key, entry in entries.items()}
    if identifier not in paths or paths[identifier] not in files:
        raise FileRejected("Manifest.json names a model that the package lacks.")
    return paths[identifier]


def _manifest(root: Path, files: tuple[PurePosixPath, ...]) -> dict[str, Any]:
    if PurePosixPath("Manifest.json") not in files:
        raise FileRejected("The package has no Manifest.json.")
    path = root / "Manifest.json"
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise FileRejected(f"Manifest.json is larger than {MAX_MANIFEST_BYTES} bytes.")
    try:
        manifest = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileRejected("Manifest.json is not JSON.") from error
    if not isinstance(manifest, dict):
        raise FileRejected("Manifest.json is not a JSON object.")
    return manifest


def _item_path(entry: object) -> PurePosixPath:
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        raise FileRejected("Manifest.json has an entry without a path.")
    return _confined(PurePosixPath("Data"), path)


def _confined(folder: PurePosixPath, name: str) -> PurePosixPath:
    """Join a name that a file states to a folder of the package; it must stay below it."""
    parts = name.split("/")
    if name.startswith("/") or "\0" in name or "\\" in name or {"", ".", ".."} & set(parts):
        raise FileRejected(f"The package names the path {name!r}, which may leave its folder.")
    return folder.joinpath(*parts)
