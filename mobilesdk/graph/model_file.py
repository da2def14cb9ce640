"""Read a model that is a file or a folder, weights and all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.graph.capture import write_dependencies
from mobilesdk.graph.recorder import Recorder


def _itself(path: Path) -> tuple[Path, ...]:
    return (path,)


@contextmanager
def reading_file(
    source: ModelSource,
    context: StepContext,
    files: Callable[[Path], tuple[Path, ...]] = _itself,
) -> Iterator[Path]:
    """Record what is read inside of the ``with`` block; write it down at its end.

    Args:
        source: Its reference is the path of the model.
        context: Threads and seed are set for the process.
        files: Gives the files that the model is made of: by itself, the path.

    Returns:
        The path.

    Raises:
        InvalidModel: Weights were given besides.
    """
    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seed)
    path = Reference.parse(source.reference).path or Path(source.reference)
    if source.weights is not None:
        raise InvalidModel(
            f"{path.name} holds its weights, and {source.weights.name} was given besides.",
            hint="leave --weights out, or give the function that makes the module.",
        )
    recorder = Recorder()
    recorder.require(*files(path))
    with recorder.recording(), torch.no_grad():
        context.report(f"reading {path.name}")
        yield path
    write_dependencies(recorder, context)
