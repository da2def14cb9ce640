"""Times of the calls of a ``.pte`` program, and of ops inside of delegates, on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mobilesdk.core.artifact import TensorInfo
from mobilesdk.core.layers import OpProfile, OpTime
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.program import Program
from mobilesdk.lowering.executorch.events import record_events

_NUMBER = re.compile(r" #\d+\Z")
_KERNEL, _DELEGATE = "OPERATOR_CALL", "DELEGATE_CALL"


def profile_program(
    path: Path, program: Program, inputs: Sequence[TensorInfo], run_count: int, threads: int
) -> OpProfile:
    """Time the ops of a program, on inputs of zeros.

    Args:
        path: The ``.pte`` file.
        program: The same, read.
        inputs: What it takes.
        run_count: Measured runs.
        threads: That it may use.

    Raises:
        ArtifactInvalid: It does not run, or the runtime records other calls than it has, or other
            ones each time.
    """
    zeros = [torch.zeros(item.shape, dtype=getattr(torch, item.dtype)) for item in inputs]
    events = record_events(path, zeros, threads=threads, run_count=run_count + 1)
    if any(len(event.perf_data.raw) != run_count + 1 for event in events):
        raise ArtifactInvalid(f"{path.name} runs other ops in one run than in another.")
    return OpProfile(
        format="executorch",
        how=(
            "events of the ExecuTorch runtime (ETDump); a delegate's time holds those of the ops "
            "inside, which the delegate tells in microseconds"
        ),
        run_count=run_count,
        threads=threads,
        ops=tuple(_times(program, events)),
    )


def _times(program: Program, events: Sequence[Any]) -> Iterator[OpTime]:
    """Give the time of each call, followed by the times of what is inside of a delegate."""
    place = 0
    inner: list[Any] = []
    for event in events:
        if event.delegate_debug_identifier is not None:
            inner.append(event)
        elif event.name in (_KERNEL, _DELEGATE):
            if place >= len(program.calls):
                raise ArtifactInvalid("The runtime recorded more calls than the program has.")
            call = program.calls[place]
            backend = "" if call.delegate is None else program.delegates[call.delegate].backend
            yield _time(event, str(place), call.kernel or backend, backend, "")
            for number, item in enumerate(inner):
                kind = _NUMBER.sub("", str(item.delegate_debug_identifier))
                yield _time(item, f"{place}.{number}", kind, backend, str(place))
            inner = []
            place += 1


def _time(event: Any, name: str, kind: str, delegate: str, inside: str) -> OpTime:
    runs = event.perf_data.raw[1:]
    return OpTime(
        name=name,
        type=kind,
        delegate=delegate,
        median_ns=median(runs),
        minimum_ns=min(runs),
        inside=inside,
    )
