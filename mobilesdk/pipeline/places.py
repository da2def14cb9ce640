"""Paths that a caller names, before anything is done with them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mobilesdk.errors import UsageError

_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 4096
_ROOM_BELOW_BYTES = 512
"""For what a build writes below a folder: names of targets, models and files of packages."""
_SHOWN = 80


def look_up(path: Path) -> Path:
    """Give a path that the file system can look up, whether or not something is there.

    Raises:
        UsageError: It is too long, or a folder on the way may not be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UsageError(
            f"{_short(path)} cannot be looked up: {_reason(error)}.", hint=_cure(error)
        ) from error
    return path


def check_length(folder: Path) -> None:
    """Look whether the paths of what is written below a folder will be short enough.

    Raises:
        UsageError: They will not.
    """
    look_up(folder)
    length = len(os.fsencode(folder.absolute()))
    if length > _LONGEST_PATH_BYTES - _ROOM_BELOW_BYTES:
        raise UsageError(
            f"{_short(folder)} has {length} bytes, and paths below it would be too long: "
            f"the system takes {_LONGEST_PATH_BYTES}.",
            hint="name a shorter path.",
        )


def _reason(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return (
            f"a name has more than {_LONGEST_NAME_BYTES} bytes, or the path more than "
            f"{_LONGEST_PATH_BYTES}"
        )
    return error.strerror or str(error)


def _cure(error: OSError) -> str:
    if error.errno == errno.ENAMETOOLONG:
        return "name a shorter path; letters beyond ASCII take several bytes."
    return "name a path that you may read."


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 20]}…{text[-19:]}"
