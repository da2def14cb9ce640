"""The wheel holds what it should, and works where the repository is not."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SHIPPED = "mobilesdk/targets/shipped"
UV = Path(sysconfig.get_path("scripts"), "uv")


def uv(*arguments):
    command = [UV, "--offline", "--no-cache", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Install the wheel alone; give a function that runs a command of it elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", folder, wheel)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    # The environment's own packages come second; its link to the checkout (a .pth file) is unread.
    paths = [str(folder), sysconfig.get_path("purelib")]
    start = (
        "import runpy, sys; "
        f"sys.path = {paths!r} + [p for p in sys.path if not p.startswith({str(REPOSITORY)!r})]; "
        "import mobilesdk; "
        f"assert mobilesdk.__file__.startswith({str(folder)!r}), mobilesdk.__file__; "
        "sys.argv[0] = 'mobilesdk'; runpy.run_module('mobilesdk', run_name='__main__')"
    )

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", start, *arguments],
            cwd=elsewhere,
            env=os.environ | {"XDG_CACHE_HOME": str(elsewhere)},
            capture_output=True,
            text=True,
        )

    return run


def below(folder, pattern):
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern)}


def test_it_holds_the_package_the_targets_and_nothing_else(names):
    package = REPOSITORY / "mobilesdk"
    sources = {
        f"mobilesdk/{name}"
        for name in (path.relative_to(package).as_posix() for path in package.rglob("*"))
        if (package / name).is_file() and "__pycache__" not in name
    }
    targets = {f"{SHIPPED}/{name}" for name in below(REPOSITORY / "targets", "*.*")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names == sources | targets | metadata | {"mobilesdk/cli/errors.md"}
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_its_types_are_for_others_too(names):
    assert "mobilesdk/py.typed" in names


def test_its_extras_pin_the_toolchains(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = archive.read(name).decode()
    for line in (
        "Requires-Dist: coreai-torch==0.4.3; extra == 'coreai'",
        "Requires-Dist: coremltools==9.0; extra == 'coreml'",
        "Requires-Dist: executorch==1.5.1; extra == 'executorch'",
        "Requires-Dist: litert-torch==0.10.0; extra == 'litert'",
        "Requires-Dist: tensorflow-cpu==2.21.0; extra == 'tensorflow'",
    ):
        assert line in metadata.splitlines()
    assert "Provides-Extra: all" in metadata


def test_it_lists_the_shipped_targets(installed):
    done = installed("targets", "--json")
    assert done.returncode == 0, done.stderr
    for path in (REPOSITORY / "targets").glob("*.toml"):
        assert path.stem in done.stdout


def test_it_explains_errors(installed):
    done = installed("explain", "internal")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("internal\n\n")
    assert len(done.stdout) > 40


def test_it_diagnoses_the_toolchains(installed):
    done = installed("doctor", "--json")
    assert done.returncode in (0, 3), done.stderr
    assert "coremltools" in {tool["distribution"] for tool in json.loads(done.stdout)["tools"]}


def test_it_reads_no_model_that_is_not_there(installed):
    done = installed("plan", "nowhere.py:build")
    assert done.returncode == 2
    assert "nowhere.py" in done.stdout
