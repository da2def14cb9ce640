"""The first packages of the fuzzer, and that the fuzzer sees what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.errors import MobileSDKError
from tests.coreml.fuzz import attempt as attempts
from tests.coreml.fuzz.attempt import Outcomes, TookTooLong, Watch, attempt
from tests.coreml.fuzz.mutate import Files, Mutator, parse, serialize
from tests.coreml.fuzz.seeds import all_seeds
from tests.docs.markdown import REPOSITORY

COUNT = 2000


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def test_damaged_packages_are_run_or_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.coreml.fuzz", "--count", str(COUNT)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"0 … {COUNT - 1}:" in done.stdout


def test_damage_is_the_same_for_the_same_number_and_leaves_enough_to_run(tmp_path: Path) -> None:
    seeds = all_seeds(tmp_path / "seeds")

    def packages() -> list[Files]:
        mutators = map(Mutator, range(200))
        return [mutator.damage(mutator.seed(seeds)) for mutator in mutators]

    first, second = packages(), packages()
    assert first == second
    assert len(set(first)) > 190
    for files in seeds:
        assert serialize(parse(files.model)) == files.model


@pytest.mark.parametrize("error", [ValueError("odd"), TookTooLong("slow"), MobileSDKError("bug")])
def test_other_errors_are_findings(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_folder: Path) -> None:
        raise error

    monkeypatch.setattr(attempts, "_run", fail)
    monkeypatch.setattr(attempts, "_inspect", lambda folder: None)
    outcomes = Outcomes()
    attempt(tmp_path, "it", outcomes, watch)
    (finding,) = outcomes.findings
    assert finding.startswith("it: ")
    assert str(error) in finding


def test_reading_outside_of_the_package_is_a_finding(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "package"
    inside.mkdir()
    (inside / "a").write_text("")
    outside = tmp_path / "b"
    outside.write_text("")

    def read(folder: Path) -> None:
        (folder / "a").read_bytes()
        outside.read_bytes()
        subprocess.run(["true"], check=True)

    monkeypatch.setattr(attempts, "_run", read)
    monkeypatch.setattr(attempts, "_inspect", lambda folder: None)
    outcomes = Outcomes()
    attempt(inside, "it", outcomes, watch)
    assert any(repr(str(outside)) in item for item in outcomes.findings)
    assert any("subprocess" in item for item in outcomes.findings)
    assert not any(repr(str(inside / "a")) in item for item in outcomes.findings)
