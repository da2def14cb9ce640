"""List the files of a user's folder; links in it are the user's, and are followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mobilesdk.errors import InvalidDataset


def entries_below(folder: Path) -> list[Path]:
    """List all that lies below a folder and can be no folder to look into, sorted.

    Links to files and to folders are followed, wherever they lead. A link that leads nowhere, or to
    a folder that it lies in itself, is listed as it is: it exists not, or is a folder.
    """
    return sorted(_below(folder, frozenset({folder.resolve()})))


def files_of_set(folder: Path) -> Iterator[Path]:
    """Give the files of a set in the order of their paths; hidden ones are passed over.

    Raises:
        InvalidDataset: A link leads nowhere or in a circle.
    """
    for path in entries_below(folder):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.is_dir():
            raise InvalidDataset(
                f"{path} is a link to a folder that it lies in.", hint="remove the link."
            )
        if not path.exists():
            raise InvalidDataset(
                f"{path} is a link that leads nowhere.", hint="mend the link, or remove it."
            )
        yield path


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    for path in folder.iterdir():
        if not path.is_dir():
            yield path
            continue
        place = path.resolve()
        if place in above:
            yield path
        else:
            yield from _below(path, above | {place})
