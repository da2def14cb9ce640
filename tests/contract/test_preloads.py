"""What shipped plug-ins have imported before they work can be copied: it loads, without threads."""

import socket
import subprocess
import sys

import pytest

from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.preloading import preloads
from mobilesdk.plugins import Kind, names

KINDS = {
    Kind.FRONTENDS: TaskKind.READ,
    Kind.COMPRESSORS: TaskKind.COMPRESS,
    Kind.EXPORTERS: TaskKind.EXPORT,
    Kind.RUNTIMES: TaskKind.VERIFY,
}
SHIPPED = {preloads(task, name) for kind, task in KINDS.items() for name in names(kind)}


def test_every_toolchain_is_imported_before_its_steps():
    assert len(SHIPPED) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("wanted", sorted(SHIPPED), ids=lambda wanted: wanted[-1:] or "none")
def test_they_import_without_threads_and_without_a_fault(wanted, monkeypatch):
    for library in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mobilesdk.pipeline.forking", *wanted],
            stdin=theirs.fileno(),
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
