"""The process that holds a toolchain: ``python -m mobilesdk.pipeline.forking PRELOAD...``.

It imports what it is told to, runs no step itself, has one thread, and takes orders on its standard
input, a socket: one message for each worker, with the descriptors that are the worker's. An order
may also be for a template that imports more: a copy of this one, with a socket of its own. When the
other end of the socket closes it ends, and every copy with it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pkgutil
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path

from mobilesdk.pipeline import processes

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ORDER_BYTES = 1 << 16
_DESCRIPTORS = 4
_BRANCH = b"\0"
_BEFORE, _AFTER = "mobilesdk.pipeline.worker", "mobilesdk.pipeline.steps"
"""What every worker needs besides its toolchain, a second of processor time together."""


def branch_order(preloads: tuple[str, ...]) -> bytes:
    """Give the order for a template that imports these besides; no path has its first byte."""
    return _BRANCH + _BRANCH.join(map(os.fsencode, preloads))


class _Copies:
    """The template's side: its copies, workers and templates, by what tells their end."""

    def __init__(self) -> None:
        self._status: dict[int, tuple[int, int]] = {}

    def add(self, pid: int, status: int) -> int:
        """Tell the build of a new worker; give the descriptor that tells its end."""
        end = os.pidfd_open(pid)
        self._status[end] = pid, status
        _tell(status, pid)
        return end

    def collect(self, end: int) -> None:
        """End what a worker leaves behind; tell the build how it ended, and what it used."""
        pid, status = self._status.pop(end)
        _end_group(pid)
        _, ended, usage = os.wait4(pid, 0)
        self._end_strays()
        cpu_us = round((usage.ru_utime + usage.ru_stime) * 1e6)
        _tell(status, os.waitstatus_to_exitcode(ended), cpu_us, usage.ru_maxrss * 1024)
        os.close(status)
        os.close(end)

    def kill(self) -> None:
        """End all workers, and what they have started."""
        for pid, _ in self._status.values():
            _end_group(pid)
        for pid, _ in self._status.values():
            os.waitpid(pid, 0)
        self._status.clear()
        self._end_strays()

    def _end_strays(self) -> None:
        """End what has left the session of a worker that has ended: it is the template's now."""
        workers = {pid for pid, _ in self._status.values()}
        while strays := processes.children(os.getpid()) - workers:
            for stray in strays:
                os.kill(stray, signal.SIGKILL)
                os.waitpid(stray, 0)

    def forget(self) -> None:
        """Close what belongs to the template, in a worker."""
        for end, (_, status) in self._status.items():
            os.close(end)
            os.close(status)


def _tell(status: int, *numbers: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for this worker any more
        os.write(status, " ".join(map(str, numbers)).encode() + b"\n")


def _end_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, and left nobody behind
        os.killpg(pid, signal.SIGKILL)


def serve(channel: socket.socket) -> tuple[bytes, int, int] | None:
    """Take orders until the build ends.

    Returns:
        None in the template, when the build has ended; in each copy its order: the file of the job,
        and the descriptors of its log and of its progress. That of a template is a `branch_order`,
        and its last descriptor the socket.
    """
    copies = _Copies()
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not channel:
                    selector.unregister(key.fd)
                    copies.collect(key.fd)
                    continue
                order, descriptors, _, _ = socket.recv_fds(channel, _ORDER_BYTES, _DESCRIPTORS)
                if not order:
                    copies.kill()
                    return None
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, False)  # programs that a step starts lack them
                log, progress, status, folder = descriptors
                template, pid = os.getpid(), os.fork()
                if pid == 0:
                    os.close(status)
                    copies.forget()
                    channel.close()
                    _become_copy(template, log, folder)
                    return order, log, progress
                for descriptor in (log, progress, folder):
                    os.close(descriptor)
                selector.register(copies.add(pid, status), selectors.EVENT_READ)


def _become_copy(template: int, log: int, folder: int) -> None:
    """Leave the template's session, end when it ends, print to the log, and go to the folder."""
    os.setsid()
    os.fchdir(folder)
    os.close(folder)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != template:
        os.kill(os.getpid(), signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class _EndWithBuild(MetaPathFinder):
    """Finds no module, and ends the process at the next import once the build has gone.

    A toolchain takes seconds to import, in which nobody listens to the build.
    """

    def __init__(self) -> None:
        self._build = os.getppid()

    def find_spec(self, *_: object) -> None:
        """Look for the build."""
        if os.getppid() != self._build:
            os._exit(0)


def preload(name: str) -> None:
    """Import a module, or call what imports it.

    A module that cannot be imported is left to the steps, which fail with it.
    """
    try:
        found = pkgutil.resolve_name(name)
        if callable(found):
            found()
    except Exception:  # noqa: BLE001  # the border of a process: the step's own import raises it
        traceback.print_exc()


def _import(names: tuple[str, ...]) -> None:
    """Import modules while the build lives, and be ready to be copied."""
    guard = _EndWithBuild()
    sys.meta_path.insert(0, guard)
    for name in names:
        preload(name)
    sys.meta_path.remove(guard)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        said = " ".join(name for name in names if name not in (_BEFORE, _AFTER))
        sys.stdout.write(f"{said} starts threads when it is imported, which copies would lack.\n")
        sys.stdout.flush()
        os._exit(os.EX_SOFTWARE)  # without waiting for the threads
    sys.stdout.flush()
    gc.collect()
    gc.freeze()


def main() -> int:
    """Import the toolchain, and serve; in a worker, do the job."""
    channel = socket.socket(fileno=os.dup(0))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _import((_BEFORE, *sys.argv[1:], _AFTER))
    order = serve(channel)
    while order is not None and order[0].startswith(_BRANCH):
        names, _, descriptor = order
        _import(tuple(map(os.fsdecode, names.split(_BRANCH)[1:])))
        order = serve(socket.socket(fileno=descriptor))
    if order is None:
        return 0
    from mobilesdk.pipeline.worker import Order, work  # here, so that the guard watched over it

    job_file, log, progress = order
    return work(Order(Path(os.fsdecode(job_file)), log, progress))


if __name__ == "__main__":
    sys.exit(main())
