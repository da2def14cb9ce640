import os
import signal
import subprocess
import sys

import pytest

from mobilesdk.bundle.canonical import tree_hash
from tests.conftest import STAND_INS, build_arguments
from tests.processes import ended, eventually


def hear_interrupts():
    """Undo what a shell does to its background jobs, which pass it on to all they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def has_text(path):
    return path.exists() and bool(path.read_text())


@pytest.fixture
def started(command_line, own_cache, sets):
    """A build whose exporter hangs; gives the process and the exporter's process id."""
    note = command_line.folder / "pid"
    target = command_line.target("slow", how="hang", note=str(note))
    bundle = command_line.folder / "bundle"
    arguments = build_arguments(sets, [target], bundle)
    process = command_line.start(*arguments, preexec_fn=hear_interrupts)
    try:
        assert eventually(lambda: process.poll() is not None or has_text(note))
        yield process, int(note.read_text())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_stopped_build_ends_its_workers_and_leaves_nothing(started, command_line, sent, code):
    process, worker = started
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert eventually(lambda: ended(worker))
    left = {item.name for item in command_line.folder.iterdir()}
    assert left == {"before.toml", "slow.toml", "profiles", "pid", "before", "home"}
    if sent is signal.SIGINT:
        assert "Stopped" in err
        assert "failed" not in err
        working = command_line.cache_home / "mobilesdk" / "working"
        assert all(item.suffix == ".lock" for item in working.iterdir())


STUCK = """
import os, runpy, signal, sys
from pathlib import Path
from mobilesdk.pipeline import processes

kill = processes.kill

def stick(worker):
    if not Path(os.environ["HANGING"]).exists():
        return kill(worker)
    Path(os.environ["STUCK"]).write_text("stuck")
    while True:
        signal.pause()

processes.kill = stick
sys.argv = ["mobilesdk", *sys.argv[1:]]
runpy.run_module("mobilesdk", run_name="__main__")
"""


@pytest.fixture
def stuck(command_line, own_cache, sets):
    """A build whose exporter hangs, and that cannot end its workers itself."""
    note, place = command_line.folder / "pid", command_line.folder / "stuck"
    target = command_line.target("slow", how="hang", note=str(note))
    arguments = build_arguments(sets, [target], command_line.folder / "bundle")
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, *map(str, arguments)],
        cwd=STAND_INS,
        env=os.environ
        | {"XDG_CACHE_HOME": str(own_cache), "HANGING": str(note), "STUCK": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    try:
        assert eventually(lambda: process.poll() is not None or has_text(note))
        yield process, int(note.read_text()), place
    finally:
        process.kill()
        process.communicate()


def test_a_second_signal_ends_a_build_that_cannot_end_its_workers(stuck):
    process, worker, place = stuck
    process.send_signal(signal.SIGINT)
    assert eventually(lambda: has_text(place))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Ended at once" in err
    assert eventually(lambda: ended(worker))


def test_a_killed_build_resumes_and_gives_the_bytes_of_an_undisturbed_one(
    started, command_line, own_cache, build, sets, monkeypatch
):
    process, _ = started
    process.send_signal(signal.SIGKILL)
    process.communicate()
    target = command_line.target("slow", padding_bytes=5)
    assert build(target, output="undisturbed").code == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    assert build(target, output="resumed").code == 0
    folder = command_line.folder
    assert tree_hash(folder / "resumed") == tree_hash(folder / "undisturbed")
    assert not [*own_cache.glob("mobilesdk/working/*/")]
