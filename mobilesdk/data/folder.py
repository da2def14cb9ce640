"""List the files of a user's folder; links in it are the user's, and are followed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from mobilesdk.core.contract import Contract, InputSpec
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
        InvalidDataset: A link leads nowhere or in a circle, or a folder cannot be read.
    """
    try:
        entries = entries_below(folder)
    except OSError as error:
        raise unreadable(folder, error) from error
    for path in entries:
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


def sole_input(folder: Path, contract: Contract, kind: str) -> InputSpec:
    """Give the input that the files of a folder are for.

    Args:
        folder: Of the set, for the message.
        contract: Of the model.
        kind: What the files are, in the plural.

    Raises:
        InvalidDataset: The model takes more than one input.
    """
    if len(contract.inputs) != 1:
        names = ", ".join(each.name for each in contract.inputs)
        raise InvalidDataset(
            f"{folder} is a folder of {kind}, but the model has {len(contract.inputs)} inputs "
            f"({names}).",
            hint="give a .npz file with one array for each input.",
        )
    return contract.inputs[0]


def unreadable(path: Path, error: OSError) -> InvalidDataset:
    """Make the error for a file or folder of a set that may not, or cannot, be read."""
    place = Path(error.filename or path)
    return InvalidDataset(
        f"{place} cannot be read: {error.strerror or error}.",
        hint="give yourself the right to read it (chmod u+r, for a folder u+rx), or remove it.",
    )


def check_readable(path: Path) -> None:
    """Look whether all files of a set may be read, without reading them.

    Raises:
        InvalidDataset: One may not.
    """
    try:
        for item in entries_below(path) if path.is_dir() else [path]:
            if item.is_file() and not os.access(item, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(item))
    except OSError as error:
        raise unreadable(path, error) from error


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
