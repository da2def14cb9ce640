"""Processes that hold a toolchain, and of which workers are copies: it is imported once a build.

This is the build's side; what happens in such a process is in `forking`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mobilesdk.pipeline import processes
from mobilesdk.pipeline.forking import branch_order
from mobilesdk.pipeline.tasks import Usage

_STATUS_BYTES = 64


class Template:
    """The build's side: a running template process.

    Attributes:
        preloads: What it has imported: modules, or ``module:function`` that imports when called.
        imported: Those of them that it imports itself; the rest came with what it is a copy of.
    """

    def __init__(
        self,
        preloads: tuple[str, ...],
        environment: Mapping[str, str],
        base: Template | None = None,
    ) -> None:
        """Start it; it imports while the caller goes on.

        Args:
            preloads: What it imports.
            environment: Of the process and of its workers; a copy has that of ``base``.
            base: A template that has imported the first of these: it is copied.
        """
        self.preloads = preloads
        self.imported = preloads if base is None else preloads[len(base.preloads) :]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process: subprocess.Popen[bytes] | _Branch
        with theirs:
            if base is None:
                self._process = subprocess.Popen(
                    # -P: a file of the working folder must not stand in for one of the library.
                    [sys.executable, "-P", "-m", "mobilesdk.pipeline.forking", *preloads],
                    stdin=theirs.fileno(),
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=dict(environment),
                )
            else:
                self._process = _Branch(base, self.imported, theirs.fileno(), self._log.fileno())

    @property
    def pid(self) -> int:
        """Of the template itself; before it is made, of the one that it will be a copy of."""
        return self._process.pid

    def order(self, order: bytes, *, log: int, progress: int, status: int) -> None:
        """Have a worker made for a job; it works in the present folder of this process.

        Args:
            order: The file with what the worker is to do, or a `forking.branch_order`.
            log: Descriptor for all that it prints.
            progress: Descriptor for lines of progress; the socket of a template.
            status: Descriptor to which the template writes a line with the worker's process id,
                and, when it has ended, one with its exit code, processor time in microseconds, and
                largest resident memory in bytes.

        Raises:
            OSError: The template has ended.
        """
        folder = os.open(os.curdir, os.O_PATH | os.O_DIRECTORY)
        try:
            socket.send_fds(self._socket, [order], [log, progress, status, folder])
        finally:
            os.close(folder)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def usage(self) -> Usage | None:
        """Give what it has used itself, without its workers; ``None`` if it has ended."""
        found = processes.usage(self.pid)
        if found is None:
            return None
        return Usage(cpu_seconds=found[0], peak_memory_bytes=found[1])

    def last_words(self) -> str:
        """Give what the template itself has printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def close(self) -> None:
        """End the template, its workers, and the templates that are copies of it."""
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


def base_among(templates: Iterable[Template], preloads: tuple[str, ...]) -> Template | None:
    """Give the running template that has imported most of what is first to be imported."""
    begun = [
        template
        for template in templates
        if template.preloads == preloads[: len(template.preloads)] and not template.ended
    ]
    return max(begun, key=lambda template: len(template.preloads), default=None)


class _Branch:
    """A copy of a template that is one itself, with the part of `subprocess.Popen` in use."""

    def __init__(self, base: Template, imports: tuple[str, ...], channel: int, log: int) -> None:
        self._base = base
        self._pid: int | None = None
        self._ended = False
        self._status, status = os.pipe()
        os.set_blocking(self._status, False)
        try:
            with suppress(BrokenPipeError):  # the base has ended, and so has `status`
                base.order(branch_order(imports), log=log, progress=channel, status=status)
        finally:
            os.close(status)

    @property
    def pid(self) -> int:
        self._hear()
        return self._base.pid if self._pid is None else self._pid

    def poll(self) -> int | None:
        """Give a number once it has ended."""
        self._hear()
        return 0 if self._ended else None

    def kill(self) -> None:
        """End it. One that is not yet made ends by itself, because its socket is closed."""
        if self.poll() is None and self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until its base has waited for it; one that is not yet made is not waited for."""
        while self._pid is not None and not self._ended:
            select.select([self._status], [], [])
            self._hear()
        self._ended = True
        os.close(self._status)

    def _hear(self) -> None:
        """Read what its base tells of it: its process id, then how it ended."""
        while not self._ended:
            try:
                said = os.read(self._status, _STATUS_BYTES)
            except BlockingIOError:
                return
            first, _, rest = said.partition(b"\n")
            if self._pid is None and first:
                self._pid = int(first)
                self._ended = bool(rest)
            else:
                self._ended = True


class Worker:
    """The build's side: a worker, from its order on.

    Attributes:
        progress: Descriptor that its lines of progress come from.
        status: Descriptor that `hear` reads.
        pid: Its process id; None until it is known.
        returncode: Its exit code, or minus its signal; None until it has ended.
        usage: What it used; None until it has ended, and if its template ended before.
        ended: Whether it has ended, or its template has, and no exit code is known.
    """

    def __init__(self, template: Template, job_file: Path, log: int) -> None:
        """Order it; the log stays the caller's."""
        self._template = template
        self.pid: int | None = None
        self.returncode: int | None = None
        self.usage: Usage | None = None
        self.ended = False
        self._heard = b""
        self._peak_bytes = 0
        self.progress, progress = os.pipe()
        self.status, status = os.pipe()
        try:
            with suppress(BrokenPipeError):  # the template has ended, and so has `status`
                order = os.fsencode(job_file)
                template.order(order, log=log, progress=progress, status=status)
        finally:
            os.close(progress)
            os.close(status)

    def hear(self) -> None:
        """Wait for news from the template."""
        chunk = os.read(self.status, _STATUS_BYTES)
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        for line in lines:
            if self.pid is None:
                self.pid = int(line)
            else:
                self.returncode, cpu_us, peak_bytes = map(int, line.split())
                peak_bytes = max(peak_bytes, self._peak_bytes)
                self.usage = Usage(cpu_seconds=cpu_us / 1e6, peak_memory_bytes=peak_bytes)
        self.ended = not chunk or self.returncode is not None
        if self.ended and self.returncode is None and self.pid is not None:
            processes.kill(self.pid)  # its template cannot end what it left behind

    def kill(self) -> None:
        """End it with all that it has started; before it is made, its template."""
        processes.kill(self._template.pid if self.pid is None else self.pid)

    def close(self) -> None:
        """End it if it has not ended, and wait for that."""
        if not self.ended:
            self.kill()
        while not self.ended:
            self.hear()
        os.close(self.progress)
        os.close(self.status)

    def resident_bytes(self) -> int:
        """Give the memory of it and of all that it has started; 0 before it is made."""
        if self.pid is None:
            return 0
        found_bytes = processes.resident_bytes(processes.living_family(self.pid))
        self._peak_bytes = max(self._peak_bytes, found_bytes)
        return found_bytes

    def last_words(self) -> str:
        """Give what its template has printed."""
        return self._template.last_words()
