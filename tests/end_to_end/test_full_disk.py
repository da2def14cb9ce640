import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from mobilesdk.core.form import Form
from mobilesdk.core.model import Model
from mobilesdk.errors import WriteFailed
from mobilesdk.pipeline.job import OUTCOME_NAME, Job, Outcome, TaskKind
from mobilesdk.pipeline.launch import Limits, Workers
from tests.conftest import STAND_INS, build_arguments

LIMIT_BYTES = 2_000_000


def refused(command_line, arguments):
    """Run a build that cannot write files of more than 2 MB; give its code and stderr."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))

    process = command_line.start(*arguments, preexec_fn=limit)
    _, err = process.communicate()
    return process.returncode, err


def names(folder):
    return {item.name for item in folder.iterdir()}


def test_a_step_that_is_refused_a_write_fails_and_leaves_no_entry(command_line, sets):
    steps = [{"method": "fault", "how": "fill_disk"}]
    target = command_line.target("tier", profile="full", compress=steps)
    bundle = command_line.folder / "bundle"
    code, err = refused(command_line, build_arguments(sets, [target], bundle))
    assert code == 6, err
    assert "explain write-failed" in err
    assert names(command_line.folder) == {"tier.toml", "profiles"}


@pytest.mark.parametrize("store", ["file", "folder"])
def test_an_output_that_is_refused_leaves_nothing(build, command_line, sets, store):
    target = command_line.target("tier", padding_bytes=LIMIT_BYTES + 1, store=store)
    assert build(target, output="good").code == 0  # the cache has all that is large
    code, err = refused(
        command_line, build_arguments(sets, [target], command_line.folder / "bundle")
    )
    assert code == 6, err
    assert "bundle could not be written: File too large" in err
    assert names(command_line.folder) == {"tier.toml", "profiles", "good"}


def test_an_old_bundle_stays_when_the_new_one_is_refused(build, command_line, sets):
    assert build(command_line.target("tier"), output="bundle").code == 0
    before = (command_line.folder / "bundle" / "manifest.json").read_bytes()
    target = command_line.target("tier", padding_bytes=LIMIT_BYTES + 1)
    assert build(target, output="good").code == 0
    arguments = build_arguments(sets, [target], command_line.folder / "bundle")
    code, err = refused(command_line, [*arguments, "--overwrite"])
    assert code == 6, err
    assert (command_line.folder / "bundle" / "manifest.json").read_bytes() == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root; the limits above are tested anyhow")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_under_the_output(build, command_line, small_disk):
    target = command_line.target("tier", padding_bytes=8_000_000, store="folder")
    result = build(target, output="disk/bundle")
    assert result.code == 6, result.err
    assert "No space left on device" in result.err
    assert names(small_disk) == set()


@pytest.mark.parametrize("how", ["fill_disk", "fill_disk_untyped"])
def test_a_full_disk_under_the_cache(small_disk, how):
    for name in ("before", "output"):
        (small_disk / name).mkdir()
    made = Model(form=Form.EXPORTED_PROGRAM, path="program.pt2")
    (small_disk / "before" / "program.pt2").write_bytes(b"program")
    (small_disk / "before" / OUTCOME_NAME).write_text(Outcome(model=made).model_dump_json())
    job = Job(
        kind=TaskKind.COMPRESS,
        plugin="fault",
        plugin_files=(STAND_INS / "compressors" / "fault.py",),
        config={"how": how},
        inputs={"model": small_disk / "before"},
        output=small_disk / "output",
    )
    with Workers(Limits(60, 4 << 30)) as workers, pytest.raises(WriteFailed) as caught:
        workers.run(job, lambda *_: None)
    assert caught.value.exit_code == 6
    assert "free some space" in caught.value.hint


FILL = """
import sys
from pathlib import Path
from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.data.ingest import ingest
contract = Contract(inputs=(InputSpec(name="x", shape=(1, 100_000), dtype="float32"),), outputs=())
ingest(Path(sys.argv[1]), contract, Path(sys.argv[2]))
"""


def test_a_disk_that_fills_under_a_set_is_an_error_and_no_signal(small_disk, tmp_path):
    """Under a memory map the process would end by SIGBUS."""
    values = np.random.default_rng(0).normal(size=(32, 100_000)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    arguments = [sys.executable, "-c", FILL, str(tmp_path / "x.npy"), str(small_disk)]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 1
    assert "WriteFailed" in result.stderr
    assert "No space left on device" in result.stderr


def test_an_output_that_is_read_only_is_refused_before_any_step(build, command_line, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = build(command_line.target("tier"), output="disk/bundle", model="none:build")
    assert result.code == 6, result.err
    assert "is read-only" in result.err


def test_a_cache_that_is_read_only_is_refused_with_its_place(
    build, command_line, small_disk, monkeypatch
):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    result = build(command_line.target("tier"))
    assert result.code == 6, result.err
    assert str(small_disk) in result.err
    assert "Read-only file system" in result.err
    assert not (command_line.folder / "bundle").exists()
