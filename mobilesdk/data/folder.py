"""List the files of a user's folder; links in it are the user's, and are followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def entries_below(folder: Path) -> list[Path]:
    """List all that lies below a folder and can be no folder to look into, sorted.

    Links to files and to folders are followed, wherever they lead. A link that leads nowhere, or to
    a folder that it lies in itself, is listed as it is: it exists not, or is a folder.
    """
    return sorted(_below(folder, frozenset({folder.resolve()})))


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
