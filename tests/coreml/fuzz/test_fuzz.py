"""The first packages of the fuzzer, and that the fuzzer sees what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mobilesdk.coreml import load
from mobilesdk.coreml.constants import bindings_of
from mobilesdk.coreml.constexpr import DECODERS, decoder, is_constexpr
from mobilesdk.coreml.ops.registry import known_ops
from mobilesdk.coreml.package import Package
from mobilesdk.errors import MobileSDKError
from tests.coreml.fuzz import attempt as attempts
from tests.coreml.fuzz.attempt import Outcomes, TookTooLong, Watch, arguments, attempt
from tests.coreml.fuzz.mutate import Files, Mutator, parse, serialize
from tests.coreml.fuzz.seeds import all_seeds
from tests.coreml.programs import Function, write
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


def test_the_seeds_have_every_operation_and_every_form_of_compressed_constants(
    tmp_path: Path,
) -> None:
    all_seeds(tmp_path)
    programs = [Package(path).model.program for path in tmp_path.iterdir()]
    operations = [
        operation
        for program in programs
        for function in program.functions.values()
        for operation in function.block.walk()
    ]
    assert {operation.type for operation in operations} >= set(known_ops())
    forms = {
        id(decoder(operation.type, bindings_of(operation)))
        for operation in operations
        if is_constexpr(operation.type)
    }
    assert forms == {id(form) for several in DECODERS.values() for form in several}


def test_extremes_are_those_of_the_type(tmp_path: Path) -> None:
    made = Function({"x": ("float16", (8,)), "n": ("int32", (2,))}, ("x", "n"))
    model = load(write(tmp_path / "m", made))
    given = {name: attempts.extreme(values) for name, values in arguments(model).items()}
    assert given["n"].tolist() == [-(2**31), 2**31 - 1]
    assert np.isinf(given["x"]).sum() == 2
    assert np.isnan(given["x"]).sum() == 1


@pytest.mark.parametrize("error", [ValueError("odd"), TookTooLong("slow"), MobileSDKError("bug")])
def test_other_errors_are_findings(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_folder: Path) -> None:
        raise error

    monkeypatch.setattr(attempts, "_run", fail)
    monkeypatch.setattr(attempts, "_inspect", lambda folder: None)
    monkeypatch.setattr(attempts, "_run_on_extremes", lambda folder: None)
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
    monkeypatch.setattr(attempts, "_run_on_extremes", lambda folder: None)
    outcomes = Outcomes()
    attempt(inside, "it", outcomes, watch)
    assert any(repr(str(outside)) in item for item in outcomes.findings)
    assert any("subprocess" in item for item in outcomes.findings)
    assert not any(repr(str(inside / "a")) in item for item in outcomes.findings)
