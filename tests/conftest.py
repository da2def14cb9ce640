"""What tests of several layers share: stand-in plug-ins, a small model, a command line to run."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from mobilesdk.pipeline import launch
from mobilesdk.plugins import discovery
from tests.shared_templates import SharedTemplates

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

STAND_INS = Path(__file__).parent / "stand_ins"
LINEAR = f"{STAND_INS / 'linear.py'}:build"
PLUGINS = tuple(sorted(STAND_INS.glob("*/*.py")))


@pytest.fixture
def stand_ins():
    """Make the stand-in plug-ins known to this process for one test."""
    with added_plugins(PLUGINS):
        yield


@contextlib.contextmanager
def added_plugins(paths):
    files, loaded = dict(discovery._files), dict(discovery._loaded)
    for path in paths:
        discovery.add_file(path)
    yield
    discovery._files.clear()
    discovery._files.update(files)
    discovery._loaded.clear()
    discovery._loaded.update(loaded)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """A cache for all tests and all processes of pytest: what is read once is read for all."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "cache"


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Folder with calibration.npz and evaluation.npz for the linear stand-in."""
    folder = tmp_path_factory.mktemp("sets")
    for seed, name in enumerate(("calibration", "evaluation")):
        values = np.random.default_rng(seed).normal(size=(40, 4)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=values)
    return folder


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class CommandLine:
    """Runs ``mobilesdk``; what a test writes goes to a folder of its own.

    The working folder is the same for all tests, because what a model is made from may depend on
    it: so the model is read once.
    """

    def __init__(self, folder, cache_home, capsys):
        self.folder = folder
        self.cache_home = cache_home
        self._capsys = capsys

    def __call__(self, *arguments):
        """Run a command in this process."""
        from mobilesdk.cli import main

        self._capsys.readouterr()
        handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            with added_plugins(()), pytest.raises(SystemExit) as left:
                main([str(argument) for argument in arguments])
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)
        out, err = self._capsys.readouterr()
        return Result(left.value.code, out, err)

    def start(self, *arguments, preexec_fn=None, **environment):
        """Start a command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "mobilesdk", *map(str, arguments)],
            cwd=STAND_INS,
            env=os.environ | {"XDG_CACHE_HOME": str(self.cache_home)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=preexec_fn,
        )

    def plugin(self, name):
        """Give the file of a stand-in, e.g. ``runtimes/plain.py``."""
        return STAND_INS / name

    def target(self, name, *, format="plain", profile="plain", compress=(), budget="", **export):
        """Write a target of a stand-in format, and its profile; give the file."""
        options = "".join(f"{key} = {json.dumps(value)}\n" for key, value in export.items())
        (self.folder / "profiles").mkdir(exist_ok=True)
        if compress or not (self.folder / "profiles" / f"{profile}.toml").exists():
            steps = "".join(
                "[[compress]]\n"
                + "".join(f"{key} = {json.dumps(value)}\n" for key, value in step.items())
                for step in compress
            )
            (self.folder / "profiles" / f"{profile}.toml").write_text(
                f'schema_version = 1\ntitle = "a profile"\n{steps}{budget}'
            )
        path = self.folder / f"{name}.toml"
        path.write_text(
            f'schema_version = 1\nid = "{name}"\ntitle = "a target"\n'
            '[device]\nplatform = "android"\nmin_os = "8.0"\naccelerator = "xnnpack"\n'
            f'[match]\npriority = {_rank(name)}\nany = [{{ os_min = "8.0" }}]\n'
            f'[export]\nformat = "{format}"\n{options}'
            f'[profiles]\ndefault = "{profile}"\n'
        )
        return path


def _rank(name):
    """Give each target a priority of its own, so that they come in the order of their names."""
    return -int.from_bytes(name.encode()[:7].ljust(7, b"\0"))


@pytest.fixture(scope="session", autouse=True)
def shared_templates():
    """Share templates among all that tests run in this process."""
    with contextlib.closing(SharedTemplates()) as templates, pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "Template", templates)
        yield


@pytest.fixture
def command_line(tmp_path, shared_cache, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    monkeypatch.chdir(STAND_INS)
    return CommandLine(tmp_path, shared_cache, capsys)


@pytest.fixture
def build(command_line, sets):
    """Build the linear stand-in for targets; give the result of the command."""

    def run(*targets, arguments=(), output="bundle", model=LINEAR):
        place = command_line.folder / output
        return command_line(*build_arguments(sets, targets, place, model), *arguments)

    return run


@pytest.fixture
def own_cache(command_line, build, shared_cache, tmp_path):
    """Give the command line a cache of its own, with the model read and its sets prepared."""
    assert build(command_line.target("before"), output="before").code == 0
    home = tmp_path / "home"
    home.mkdir()
    for part in ("steps", "references"):
        shutil.copytree(shared_cache / "mobilesdk" / part, home / "mobilesdk" / part)
    command_line.cache_home = home
    return home


def build_arguments(sets, targets, output, model=LINEAR):
    return [
        "build",
        model,
        *(part for target in targets for part in ("--target", target)),
        *(part for plugin in PLUGINS for part in ("--plugin", plugin)),
        "--calibration",
        sets / "calibration.npz",
        "--evaluation",
        sets / "evaluation.npz",
        "--output",
        output,
    ]
