"""What the ExecuTorch runtime writes down of a run: values of calls, and times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mobilesdk.errors import ArtifactInvalid
from mobilesdk.lowering.executorch.lower import quiet


def record_events(
    path: Path, inputs: Sequence[Any], *, threads: int, run_count: int = 1, value_bytes: int = 0
) -> list[Any]:
    """Run a program and give the events of its execution, in order.

    Args:
        path: The ``.pte`` file.
        inputs: Tensors.
        threads: That it may use.
        run_count: Runs; an event that comes back in each of them is given once.
        value_bytes: Room for the values of all calls of one run; 0 records none. The runtime ends
            the process when it is too small.

    Returns:
        Events of ``executorch.devtools.Inspector``; times in nanoseconds.

    Raises:
        ArtifactInvalid: The program does not load or run.
    """
    import executorch.kernels.quantized  # noqa: F401  # registers kernels for embeddings
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(threads)  # unsafe while a program runs; none does yet
    with TemporaryDirectory() as folder:
        events, values = Path(folder, "events"), Path(folder, "values")
        try:
            module = portable_lib._load_for_executorch(
                str(path), enable_etdump=True, debug_buffer_size=value_bytes
            )
            for _ in range(run_count):
                module.forward(list(inputs))
            module.write_etdump_result_to_file(str(events), str(values) if value_bytes else None)
        except (RuntimeError, ValueError) as error:
            raise ArtifactInvalid(f"The program does not run: {error}") from error
        return _read(events, values if value_bytes else None)


def _read(events: Path, values: Path | None) -> list[Any]:
    with quiet("ExecuTorch's reader of events"):
        from executorch.devtools import Inspector
        from executorch.devtools.inspector import TimeScale

        inspector = Inspector(
            etdump_path=str(events),
            debug_buffer_path=None if values is None else str(values),
            target_time_scale=TimeScale.NS,
        )
        return [
            event
            for block in inspector.event_blocks
            if block.name == "Execute"
            for event in block.events
        ]
