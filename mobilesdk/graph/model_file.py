"""Read a model that is one file, weights and all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.graph.capture import write_dependencies
from mobilesdk.graph.recorder import Recorder


@contextmanager
def reading_file(source: ModelSource, context: StepContext) -> Iterator[Path]:
    """Record what is read inside of the ``with`` block; write it down at its end.

    Args:
        source: Its reference is the path of the file.
        context: Threads and seed are set for the process.

    Returns:
        The path.

    Raises:
        InvalidModel: Weights were given besides.
    """
    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seed)
    path = Path(source.reference)
    if source.weights is not None:
        raise InvalidModel(
            f"{path.name} holds its weights, and {source.weights.name} was given besides.",
            hint="leave --weights out, or give the function that makes the module.",
        )
    recorder = Recorder()
    recorder.require(path)
    with recorder.recording(), torch.no_grad():
        context.report(f"reading {path.name}")
        yield path
    write_dependencies(recorder, context)
