"""Look at the folder of a SavedModel from anywhere before TensorFlow sees it.

What TensorFlow writes::

    saved_model.pb                    the graph, its functions and signatures (protocol buffer)
    variables/variables.index         where each weight lies
    variables/variables.data-…-of-…   the weights
    assets/…, fingerprint.pb, …       files that are not read here
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph.archive import MAX_ENTRIES, MAX_TOTAL_BYTES

GRAPH_FILE = "saved_model.pb"
_VARIABLES = Path("variables")
_MAX_GRAPH_BYTES = (2 << 30) - 1  # of any protocol buffer
_WRITE_AGAIN = "write it again with tf.saved_model.save, or model.export of Keras."


def checked_files(folder: Path) -> tuple[Path, ...]:
    """Give the files of a SavedModel that are read: its graph, and its weights if it has any.

    Refused are links and devices anywhere in the folder, more than 100,000 entries, and files
    larger than they can be.

    Raises:
        FileRejected: The folder holds what it must not.
        InvalidModel: It is no SavedModel.
    """
    graph = folder / GRAPH_FILE
    sizes = dict(_sizes(folder))
    if graph not in sizes:
        raise InvalidModel(
            f"{folder.name} holds no {GRAPH_FILE}: it is no SavedModel.", hint=_WRITE_AGAIN
        )
    if sizes[graph] > _MAX_GRAPH_BYTES:
        raise _rejected(folder, f"{GRAPH_FILE} has {sizes[graph]} bytes, more than any such file")
    weights = (path for path in sizes if path.parent == folder / _VARIABLES)
    return (graph, *sorted(weights))


def variables_prefix(folder: Path) -> Path:
    """Give how the paths of the files with weights begin."""
    return folder / _VARIABLES / "variables"


def _sizes(folder: Path) -> Iterator[tuple[Path, int]]:
    """Give each file with its size in bytes."""
    pending, count, total_bytes = [folder], 0, 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                place = Path(entry.path)
                mode = entry.stat(follow_symlinks=False)
                count, total_bytes = count + 1, total_bytes + mode.st_size
                if not stat.S_ISREG(mode.st_mode) and not stat.S_ISDIR(mode.st_mode):
                    name = place.relative_to(folder).as_posix()
                    raise _rejected(folder, f"{name!r} is a link or a device")
                if count > MAX_ENTRIES or total_bytes > MAX_TOTAL_BYTES:
                    raise _rejected(
                        folder,
                        f"more than {MAX_ENTRIES} entries or {MAX_TOTAL_BYTES} bytes",
                    )
                if stat.S_ISDIR(mode.st_mode):
                    pending.append(place)
                else:
                    yield place, mode.st_size


def _rejected(folder: Path, what: str) -> FileRejected:
    return FileRejected(
        f"{folder.name} is refused before it is read: {what}.",
        hint="get the model again from whom it comes, and compare its hash.",
    )
