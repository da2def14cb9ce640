"""Rows on what a command is given, told before a model is read or a toolchain imported."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mobilesdk.bundle import writing
from mobilesdk.pipeline.launch import Workers
from tests.conftest import PLUGINS

from .table import ROWS

LONG = "ü" * 130  # 260 bytes, as a name of a file
PROJECT = 'schema_version = 1\n[[models]]\nmodel = "net.py:build"\n'
TARGET = """schema_version = 1
id = "tier"
title = "a target"
[device]
platform = "ios"
min_os = "18.0"
accelerator = "neural_engine"
[match]
priority = 7
any = [{ os_min = "18.0" }]
[export]
format = "coreml"
deployment_target = "iOS18"
[profiles]
default = "fp16"
"""


@pytest.fixture
def folder(command_line, monkeypatch):
    """A folder with a model that nobody may read, and good sets; it is the working folder."""

    def started(*_):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(Workers, "run", started)
    monkeypatch.chdir(command_line.folder)
    (command_line.folder / "net.py").write_text("raise AssertionError('this model was read')\n")
    return command_line.folder


@pytest.fixture
def refused(command_line, folder):
    """Run a command that has to end as a row says."""

    def run(name, *arguments):
        result = command_line(*arguments, "--json")
        error = result.json["error"]
        problems = result.json.get("problems", [error])
        assert all(each["hint"] for each in problems) or error["hint"]
        assert {each["code"] for each in problems} == {ROWS[name].code}, problems
        text = result.err + "".join(each["message"] for each in problems)
        ROWS[name].check(error["code"], result.code, text)

    return run


def build(*arguments, model="net.py:build"):
    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    return ["build", model, "--output", "bundle", *plugins, *arguments]


def with_target(text, *more):
    def given(folder):
        (folder / "tier.toml").write_text(text)
        for name, other in more:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(other)
        given = [folder / name for name in ("tier.toml", *(name for name, _ in more))]
        return build(*(part for path in given for part in ("--target", path)))

    return given


def with_project(text):
    def given(folder):
        (folder / "mobilesdk.toml").write_text(text)
        return ["build", "--output", "bundle"]

    return given


def with_contract(text):
    def given(folder):
        (folder / "contract.json").write_text(text)
        return build("--contract", "contract.json")

    return given


def with_saved_model(folder):
    (folder / "saved").mkdir()
    return build(model="saved")


def with_plugin(text):
    def given(folder):
        (folder / "exporters").mkdir()
        (folder / "exporters" / "mine.py").write_text(text)
        (folder / "tier.toml").write_text(
            TARGET.replace('"coreml"\ndeployment_target', '"mine"\nx')
        )
        return build("--target", "tier.toml", "--plugin", folder / "exporters" / "mine.py")

    return given


def edited(old, new):
    assert TARGET.count(old) == 1
    return TARGET.replace(old, new)


def a_folder(name):
    def given(folder):
        (folder / name).mkdir(parents=True)
        return build()

    return given


REQUESTS = {
    "file-missing": lambda _: build(model="nowhere.py:build"),
    "saved-model": with_saved_model,
    "file-name-long": lambda _: build(model=f"{LONG}.py:build"),
    "file-name-foreign": lambda _: build(model="größe.py:build"),
    "contract-missing": lambda _: build("--contract", "nowhere.json"),
    "contract-damaged": with_contract('{"inputs": [{"name": "x"}], "outputs": []}'),
    "set-missing": lambda _: build("--calibration", "nowhere"),
    "set-name-long": lambda _: build("--evaluation", f"{LONG}.npz"),
    "target-unknown": lambda _: build("--target", "aple-ane"),
    "target-name-long": lambda _: build("--target", f"{LONG}.toml"),
    "target-toml": with_target(edited("[match]", "[match")),
    "target-key": with_target(edited("min_os", "mim_os")),
    "target-os-unknown": with_target(edited('"iOS18"', '"iOS27"')),
    "target-os-below": with_target(edited('min_os = "18.0"', 'min_os = "16.0"')),
    "target-rule-below": with_target(edited('os_min = "18.0"', 'os_min = "17.0"')),
    "target-os-empty": with_target(edited('min_os = "18.0"', 'min_os = "18.0"\nmax_os = "17"')),
    "target-fallback": with_target(edited("[profiles]", 'fallback = "forbid"\n[profiles]')),
    "target-profile": with_target(edited('"fp16"', '"fp61"')),
    "targets-one-id": with_target(TARGET, ("more/tier.toml", TARGET)),
    "targets-one-priority": with_target(TARGET, ("other.toml", edited('"tier"', '"other"'))),
    "project-missing": lambda _: ["build", "--output", "bundle"],
    "project-toml": with_project(PROJECT + "=\n"),
    "project-key": with_project(PROJECT + 'calibrate = "photos"\n'),
    "plugin-missing": lambda _: build("--plugin", "exporters/nowhere.py"),
    "plugin-syntax": with_plugin("def x(:\n"),
    "output-exists": a_folder("bundle"),
    "output-name-long": lambda _: [*build()[:2], "--output", LONG],
    "output-path-long": lambda _: [*build()[:2], "--output", "/".join(["o" * 200] * 19)],
    "output-in-a-file": lambda _: [*build()[:2], "--output", "net.py/bundle"],
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_cannot_be_met_is_refused_at_once(name, folder, refused):
    refused(name, *REQUESTS[name](folder))


def test_the_cache_cannot_be_made(folder, refused, monkeypatch):
    (folder / "mobilesdk").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    refused("cache-is-a-file", *build())
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / LONG))
    refused("cache-name-long", *build())


def test_there_is_no_home(refused, monkeypatch):
    from pathlib import Path

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    refused("cache-homeless", *build())


def test_a_set_that_may_not_be_read(folder, refused, monkeypatch):
    (folder / "photos").mkdir()
    (folder / "photos" / "secret.jpg").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda path, _: "secret" not in str(path))
    refused("set-unreadable", *build("--calibration", "photos"))


def sets(folder, **changes):
    values = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    np.savez(folder / "set.npz", **{"x": values} | {k: f(values) for k, f in changes.items()})
    return folder / "set.npz"


def lost(values):
    values[3, 2] = np.nan
    return values


SETS = {
    "set-empty": {"x": lambda values: values[:0]},
    "set-one": {"x": lambda values: values[:1]},
    "set-shape": {"x": lambda values: values[:, :3]},
    "set-dtype": {"x": lambda values: values.astype(float)},
    "set-not-finite": {"x": lost},
    "set-constant": {"x": np.ones_like},
    "set-repeats": {"x": lambda values: np.repeat(values[:8], 5, axis=0)},
    "set-other-names": {"y": lambda values: values},
}


@pytest.fixture(scope="module")
def contract():
    from mobilesdk.core.contract import Contract

    tensor = {"shape": (1, 4), "dtype": "float32"}
    return Contract.model_validate(
        {"inputs": [tensor | {"name": "x"}], "outputs": [tensor | {"name": "y"}]}
    )


@pytest.mark.parametrize("name", SETS)
def test_a_set_that_tells_nothing_is_refused(name, tmp_path, contract):
    from mobilesdk.data.ingest import ingest
    from mobilesdk.errors import InvalidDataset

    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidDataset) as caught:
        ingest(sets(tmp_path, **SETS[name]), contract, tmp_path / "out")
    assert caught.value.hint
    ROWS[name].check(caught.value.code, caught.value.exit_code, str(caught.value))


def test_files_in_a_folder_of_images_are_checked(tmp_path):
    from mobilesdk.core.contract import Contract
    from mobilesdk.data.ingest import ingest
    from mobilesdk.errors import InvalidDataset

    tensor = {"shape": (1, 3, 8, 8), "dtype": "float32", "name": "x"}
    image = tensor | {"preparation": {"kind": "image", "size": (8, 8)}}
    given = Contract.model_validate({"inputs": [image], "outputs": [tensor]})
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "photos" / "notes.doc").write_text("not an image")
    with pytest.raises(InvalidDataset) as caught:
        ingest(tmp_path / "photos", given, tmp_path / "out")
    ROWS["set-foreign-file"].check("invalid-dataset", 2, str(caught.value))


def test_a_dtype_that_a_format_lacks_is_refused():
    from mobilesdk.core.contract import Contract
    from mobilesdk.core.model import ModelSummary
    from mobilesdk.core.scheme import Request
    from mobilesdk.plugins import exporter

    tensor = {"shape": (1, 4), "dtype": "uint8", "name": "pixels"}
    contract = Contract.model_validate({"inputs": [tensor], "outputs": [tensor | {"name": "y"}]})
    summary = ModelSummary(
        contract=contract, family="other", weights=(), op_counts={}, float_size_bytes=0
    )
    plugin = exporter("coreml")
    reasons = plugin.refuse(plugin.options(), Request(), summary)
    ROWS["dtype-of-the-format"].check("plan-refused", 2, " ".join(reasons))


def test_any_locale_can_print_everything(tmp_path):
    assert ROWS["locale"].code == "works"
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
        "XDG_CACHE_HOME": str(tmp_path),
    }
    for arguments in (["targets"], ["explain", "internal"], ["plan", "größe.py:f", "--json"]):
        done = subprocess.run(
            [sys.executable, "-m", "mobilesdk", *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
        )
        assert done.returncode == (2 if arguments[0] == "plan" else 0), done.stderr
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "usage"


class Disk:
    """A disk with some bytes free."""

    def __init__(self, free):
        self.free = free


def test_a_disk_without_room_is_told_before_anything_long_runs(tmp_path, monkeypatch):
    from mobilesdk.errors import WriteFailed

    needed = {tmp_path / "cache": 3_000_000_000, tmp_path / "not" / "there": 1_000_000_000}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=4_000_000_000))
    writing.require_space(needed)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(free=3_999_999_999))
    with pytest.raises(WriteFailed) as caught:
        writing.require_space(needed)
    ROWS["disk-small"].check("write-failed", caught.value.exit_code, str(caught.value))


def test_a_file_in_pythonpath_hides_a_toolchain(folder, refused, monkeypatch):
    (folder / "shadow").mkdir()
    (folder / "shadow" / "torch.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(folder / "shadow"))
    refused("python-path", *build())


OTHERS = (
    "python-path",
    *("cache-is-a-file", "cache-name-long", "cache-homeless", "set-unreadable"),
    *("set-foreign-file", "dtype-of-the-format", "locale", "disk-small"),
)
