"""Times of the ops of a ``.tflite`` file, inside of LiteRT's CPU delegate too, on this machine."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from mobilesdk.core.layers import OpProfile, OpTime
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.lowering.litert.capi import Event, run_events

_KERNEL, _DELEGATE, _INSIDE_DELEGATE = 2, 4, 8  # bits of LiteRtProfilerEventType
_WHERE = {_KERNEL: "", _DELEGATE: "delegate", _INSIDE_DELEGATE: "XNNPACK"}
_NS_PER_US = 1000


def profile_file(path: Path, run_count: int, threads: int) -> OpProfile:
    """Time the ops of a file, or of its first signature, on inputs of zeros.

    Args:
        path: The ``.tflite`` file.
        run_count: Measured runs; one more comes before them.
        threads: That it may use.

    Raises:
        FileRejected: The file is damaged or hostile.
        ArtifactInvalid: It does not run, or runs other ops each time.
    """
    info = inspect_tflite(path)
    first = info.signatures[0] if info.signatures else info
    events = run_events(path, first.inputs, first.outputs, run_count=run_count + 1, threads=threads)
    runs = [[event for event in run if event.kind in _WHERE] for run in events][1:]
    ops = [[(event.tag, event.kind, event.place) for event in run] for run in runs]
    if any(run != ops[0] for run in ops):
        raise ArtifactInvalid(f"{path.name} runs other ops in one run than in another.")
    return OpProfile(
        format="litert",
        how=(
            "LiteRT's profiler with its default CPU delegate, in whole microseconds; ops inside "
            "of the delegate have its names, and stand for themselves"
            + (f"; signature {info.signatures[0].name}" if info.signatures else "")
        ),
        run_count=run_count,
        threads=threads,
        ops=tuple(_time(same) for same in zip(*runs, strict=True)),
    )


def _time(same: tuple[Event, ...]) -> OpTime:
    """Give the time of an op from its events in all runs."""
    first = same[0]
    delegate = _WHERE[first.kind]
    times_ns = [event.elapsed_us * _NS_PER_US for event in same]
    return OpTime(
        name=f"{delegate}.{first.place}" if delegate else str(first.place),
        type=first.tag.strip(),
        delegate=delegate,
        median_ns=median(times_ns),
        minimum_ns=min(times_ns),
    )
