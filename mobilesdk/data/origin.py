"""Which lines are the user's own source: those that a person can open and change."""

from __future__ import annotations

import sysconfig
import traceback
from functools import cache
from pathlib import Path

from mobilesdk.errors import NO_PLACE, Place

_PACKAGE = Path(__file__).resolve().parent.parent
_FRAMEWORK = "torch"


def place_of(error: BaseException) -> Place:
    """Give the innermost line of the user's source that an error passed through, if any."""
    if isinstance(error, SyntaxError) and error.filename and is_source(error.filename):
        return Place(error.filename, error.lineno)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if is_source(each[0])]
    return Place(frames[-1].filename, frames[-1].lineno) if frames else NO_PLACE


@cache
def is_source(file: str) -> bool:
    """Tell whether a file is the model's: not Python's, not torch's, not of mobilesdk.

    Networks of installed distributions are models, too.
    """
    path = Path(file)
    if not path.is_file():
        return False
    path = path.resolve()
    for name in ("purelib", "platlib"):
        folder = Path(sysconfig.get_path(name)).resolve()
        if path.is_relative_to(folder):
            return path.relative_to(folder).parts[0] != _FRAMEWORK
    library = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    return not any(path.is_relative_to(folder) for folder in {*library, _PACKAGE})
