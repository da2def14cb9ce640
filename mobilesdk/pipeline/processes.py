"""A worker and everything that it started: who belongs to it, what it uses, how it is ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def family(worker: int) -> set[int]:
    """Give the processes of a worker's session (it leads one), and the children of those.

    A child that leaves the session belongs to the family as long as its parent lives.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # "pid (name) state parent group session …"; the name may hold anything.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue  # it ended between the listing and the look
            process, parent, session = int(entry.name), int(fields[1]), int(fields[3])
            parents[process] = parent
            if session == worker:
                found.add(process)
    added = found
    while added:
        added = {child for child, parent in parents.items() if parent in added} - found
        found |= added
    return found


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
