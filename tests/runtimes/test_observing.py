"""Values inside of artifacts of all three formats, against the float model; times of ops."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobilesdk.core.layers import LayerReport, OpProfile

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FORMATS = ("coreml", "executorch", "litert")
SOUND_DB = 100.0
BROKEN_DB = 15.0


@pytest.fixture(scope="module", params=FORMATS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export, compare and damage in a process of its own, and give the folder of the results."""
    folder = tmp_path_factory.mktemp(request.param) / request.param
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtimes.observing_worker", request.param, str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def report(folder: Path, name: str) -> LayerReport:
    return LayerReport.model_validate_json((folder / f"{name}.json").read_bytes())


def test_a_float_file_computes_the_model_in_every_layer(written: Path) -> None:
    good = report(written, "good")
    assert good.format == written.name
    modules = {layer.module for layer in good.layers}
    assert modules >= {"first", "norm", "last_norm", "last"}
    assert min(layer.sqnr_db for layer in good.layers) > SOUND_DB
    assert good.layers[-1].op.output == "logits"
    assert {layer.matched_by for layer in good.layers} == (
        {"name"} if written.name == "coreml" else {"name", "value"}
    )


def test_every_value_is_compared_or_has_a_reason(written: Path) -> None:
    good = report(written, "good")
    places = sorted(item.place for item in (*good.layers, *good.unrelated))
    assert places == list(range(len(places)))
    assert all(item.reason for item in good.unrelated)


def test_delegates_hide_ops_and_nothing_else_does(written: Path) -> None:
    good = report(written, "good")
    delegates = [layer.op for layer in good.layers if layer.op.delegate]
    if written.name == "executorch":
        assert [op.type for op in delegates] == ["XnnpackBackend"] * 3
        assert good.hidden_op_count == sum(op.op_count - 1 for op in delegates) > 0
    else:
        assert (delegates, good.hidden_op_count) == ([], 0)


def test_the_first_layer_that_falls_is_the_one_that_was_damaged(written: Path) -> None:
    """The weights of ``middle`` are multiplied by 1.5 in the file, perhaps fused with its relu."""
    good, bad = report(written, "good"), report(written, "bad")
    sound = {layer.place: layer.sqnr_db for layer in good.layers}
    fallen = [layer for layer in bad.layers if layer.sqnr_db < SOUND_DB]
    assert fallen[0].float_op in ("linear_1", "relu_2")
    assert fallen[0].sqnr_db < BROKEN_DB
    assert fallen[0].inherited_db is not None
    assert fallen[0].inherited_db > SOUND_DB
    before = [layer for layer in bad.layers if layer.place < fallen[0].place]
    assert len(before) >= 2
    assert all(layer.sqnr_db == sound[layer.place] for layer in before)


def test_ops_are_timed_on_the_host(written: Path) -> None:
    file = written / "profile.json"
    if written.name == "coreml":
        assert not file.exists()
        return
    profile = OpProfile.model_validate_json(file.read_bytes())
    assert (profile.format, profile.measured_on) == (written.name, "host")
    assert (profile.run_count, profile.threads) == (5, 1)
    names = [op.name for op in profile.ops]
    assert len(set(names)) == len(names) >= 8
    assert all(0 <= op.minimum_ns <= op.median_ns for op in profile.ops)
    assert 0 < profile.total_ns < 1e9
    holders = {op.inside for op in profile.ops} - {""}
    assert holders <= set(names)
    assert bool(holders) is (written.name == "executorch")
