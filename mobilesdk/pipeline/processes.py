"""A worker and everything that it started: who belongs to it, what it uses, how it is ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Fields of /proc/PID/stat behind the name; see proc_pid_stat(5).
_PARENT, _SESSION, _USER_TICKS, _SYSTEM_TICKS = 1, 3, 11, 12

_CHILDREN_ARE_LISTED = Path("/proc/thread-self/children").exists()


def _fields(stat: Path) -> list[str]:
    """Split "pid (name) state parent group session …"; the name may hold anything."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()


def _all() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended between the listing and the look
                yield int(entry.name), _fields(entry / "stat")


def family(worker: int) -> set[int]:
    """Give the processes of a worker's session (it leads one), and the children of those.

    A child that leaves the session belongs to the family; so do its children when it has ended,
    because a worker takes over what its children leave (`mobilesdk.pipeline.forking`).
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    for process, fields in _all():
        parents[process] = int(fields[_PARENT])
        if int(fields[_SESSION]) == worker:
            found.add(process)
    added = found
    while added:
        added = {child for child, parent in parents.items() if parent in added} - found
        found |= added
    return found


def children(process: int) -> set[int]:
    """Give the processes that a process has started or taken over, and not yet waited for."""
    return {child for child, fields in _all() if int(fields[_PARENT]) == process}


def living_family(worker: int) -> set[int]:
    """Give the family of a worker that has not ended.

    It costs a few reads, where `family` reads the state of every process of the machine: the
    kernel lists the children of each process, unless it was built without that, and nobody leaves
    the family of a worker that lives. See proc_pid_task_tid_children(5).
    """
    if not _CHILDREN_ARE_LISTED:
        return family(worker)
    found: set[int] = set()
    pending = [worker]
    while pending:
        current = pending.pop()
        if current in found:
            continue
        found.add(current)
        threads: list[Path] = []
        with suppress(OSError):  # the process has ended
            threads = list(Path(f"/proc/{current}/task").iterdir())
        for thread in threads:
            with suppress(OSError):  # the thread has ended
                pending.extend(map(int, (thread / "children").read_text().split()))
    return found


def usage(process: int) -> tuple[float, int] | None:
    """Give seconds of processor time and the largest resident memory in bytes of one process.

    ``None`` if it has ended.
    """
    try:
        fields = _fields(Path(f"/proc/{process}/stat"))
        status = Path(f"/proc/{process}/status").read_text(errors="replace")
    except OSError:
        return None
    peak = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    if not peak:
        return None  # a zombie has no memory
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return ticks / os.sysconf("SC_CLK_TCK"), int(peak[0]) * 1024


def resident_bytes(processes: set[int]) -> int:
    """Give the resident memory of processes; pages that they share count once for each."""
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    total_bytes = 0
    for process in processes:
        try:
            statm = Path(f"/proc/{process}/statm").read_text()
        except OSError:
            continue  # it has ended
        total_bytes += int(statm.split()[1]) * page_bytes
    return total_bytes


def kill(worker: int) -> None:
    """End a worker with its whole family; it is no error if all have ended."""
    for process in family(worker):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
