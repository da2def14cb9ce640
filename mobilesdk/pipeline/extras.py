"""What a project adds to a model: metrics and functions of its own, files that the app needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from mobilesdk.bundle.manifest import AssetName
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.metric import UserMetric
from mobilesdk.data.functions import parse_reference
from mobilesdk.data.sources import source_digest
from mobilesdk.errors import UsageError

AssetRole = Literal["labels", "tokenizer", "postprocessing", "other"]


class Asset(Frozen):
    """A file that travels in the bundle.

    Attributes:
        path: Of the file.
        role: What the app does with it.
    """

    path: Path
    role: AssetRole = "other"


def anchored_metrics(metrics: Iterable[UserMetric], folder: Path) -> tuple[UserMetric, ...]:
    """Give the metrics of a project with the places of their functions.

    Args:
        metrics: As they stand in the project file.
        folder: Of that file.

    Raises:
        UsageError: A function names no file or module, or two metrics have one name.
    """
    found = tuple(
        metric.model_copy(update={"function": anchored_function(metric.function, folder)})
        for metric in metrics
    )
    names = [metric.name for metric in found]
    for metric in found:
        if names.count(metric.name) > 1:
            raise UsageError(f"Two metrics are named {metric.name!r}.", hint="rename one of them.")
        if source_digest(metric.function) is None:
            raise UsageError(
                f"The metric {metric.name} names {metric.function!r}, which is no function.",
                hint="give package.module:function or path/to/file.py:function.",
            )
    return found


def anchored_function(reference: str, folder: Path) -> str:
    """Give the reference of a function with its file below a folder; one of a module stays."""
    source, name = parse_reference(reference) or (reference, "")
    return f"{folder / source}:{name}" if source.endswith(".py") else reference


def anchored_tokenizer(reference: str | None, folder: Path) -> str | None:
    """Give the tokenizer of a project with the place of its file.

    Raises:
        UsageError: It names no file or module.
    """
    if reference is None:
        return None
    anchored = anchored_function(reference, folder)
    if source_digest(anchored) is None:
        raise UsageError(
            f"The tokenizer {reference!r} is no function.",
            hint="give package.module:function or path/to/file.py:function.",
        )
    return anchored


def anchored_set(path: Path | None, folder: Path) -> Path | None:
    """Give the place of a set: a file or folder, or the function that gives its samples."""
    if path is None or parse_reference(str(path)) is None or (folder / path).exists():
        return None if path is None else folder / path
    return Path(anchored_function(str(path), folder))


def anchored_assets(assets: Iterable[Asset], folder: Path) -> tuple[Asset, ...]:
    """Give the assets of a project with their places.

    Args:
        assets: As they stand in the project file.
        folder: Of that file; assets lie below it.

    Raises:
        UsageError: A path leads out of the folder or goes through a link, there is no such file, or
            two assets have one name.
    """
    found = tuple(
        asset.model_copy(update={"path": _asset_file(asset.path, folder)}) for asset in assets
    )
    names = [asset.path.name for asset in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two assets are named {name!r}.", hint="rename one of the files.")
    return found


def _asset_file(given: Path, folder: Path) -> Path:
    pure = PurePosixPath(given.as_posix())
    if pure.is_absolute() or ".." in pure.parts:
        raise UsageError(
            f"The asset {given} lies outside of the project's folder.",
            hint="copy it there: a project names what lies beside it.",
        )
    path = folder
    for part in pure.parts:
        path = path / part
        if path.is_symlink():
            raise UsageError(
                f"The asset {given} is, or goes through, a link.", hint="copy the file there."
            )
    if not path.is_file():
        raise UsageError(f"There is no file {path}, an asset.", hint="check its path.")
    try:
        TypeAdapter(AssetName).validate_python(path.name)
    except ValidationError as error:
        raise UsageError(
            f"{path.name!r} cannot name an asset.", hint="rename the file, to 200 plain characters."
        ) from error
    return path
