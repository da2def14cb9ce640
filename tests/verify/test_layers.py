"""Layer-wise comparison of a stand-in artifact with what the float model's worker wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import FloatOp, FloatOps, LayerReport, Observation, ObservedOp
from mobilesdk.core.step import StepContext
from mobilesdk.errors import ArtifactInvalid, StepFailed, UsageError
from mobilesdk.verify import layers

SAMPLES = [{"x": np.random.default_rng(n).normal(size=200).astype(np.float32)} for n in range(3)]
CONTRACT = Contract(inputs=(), outputs=())
Run = Callable[[np.ndarray], list[Observation]]


class Plugin:
    """Shows what a function makes of the input."""

    how = "by hand"

    def __init__(self, run: Run, refusal: str = "", shut: str = "") -> None:
        self._run = run
        self.refusal = refusal
        self.shut = shut

    def inspect(self, path: Path) -> ArtifactInfo:
        return ArtifactInfo(
            format="stand-in", size_bytes=0, inputs=(), outputs=(), weights=(), ops=()
        )

    def refuses(self, info: ArtifactInfo) -> str:
        return self.refusal

    def observe(self, path: Path, contract: Contract, threads: int) -> Plugin:
        if self.shut:
            raise UsageError(self.shut)
        return self

    def run(self, inputs: Mapping[str, Any]) -> Iterator[Observation]:
        return iter(self._run(inputs["x"]))


def doubled_and_squared(x: np.ndarray) -> list[Observation]:
    return [
        Observation(ObservedOp(name="a", type="add", float_name="double"), 2 * x),
        Observation(ObservedOp(name="b", type="mul", sources=("a",)), 4 * x * x * 1.01),
    ]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], LayerReport]:
    floats = tmp_path / "floats"
    floats.mkdir()
    xs = np.stack([sample["x"] for sample in SAMPLES])
    ops = []
    for name, values, sources in (("double", 2 * xs, ()), ("square", 4 * xs**2, ("double",))):
        np.save(floats / f"{name}.npy", values)
        shape = values.shape[1:]
        ops.append(
            FloatOp(
                name=name, type=name, shape=shape, sources=sources, same_as=name, file=f"{name}.npy"
            )
        )
    record = FloatOps(sample_count=len(SAMPLES), ops=tuple(ops))
    (floats / "float_ops.json").write_text(record.model_dump_json())

    def run(function: Run, **refuses: str) -> LayerReport:
        monkeypatch.setattr(layers, "runtime", lambda _name: Plugin(function, **refuses))
        context = StepContext(tmp_path)
        layers.compare_layers(
            tmp_path / "artifact",
            runtime_name="stand-in",
            contract=CONTRACT,
            floats=floats,
            samples=SAMPLES,  # type: ignore[arg-type]  # a list holds all that is used of it
            context=context,
        )
        return LayerReport.model_validate_json((tmp_path / "layers.json").read_bytes())

    return run


def test_each_value_has_its_distance(compare: Callable[[Run], LayerReport]) -> None:
    report = compare(doubled_and_squared)
    found = {layer.op.name: layer for layer in report.layers}
    assert found["a"].sqnr_db == float("inf")
    assert found["b"].sqnr_db == pytest.approx(40.0, abs=1e-3)  # 1 % of the amplitude
    assert (found["a"].float_op, found["a"].matched_by) == ("double", "name")
    assert (found["b"].float_op, found["b"].matched_by) == ("square", "value")
    assert [layer.op.name for layer in report.worst_first] == ["b", "a"]
    assert (found["a"].inherited_db, found["b"].inherited_db) == (None, float("inf"))
    assert (report.sample_count, report.how, report.unrelated) == (3, "by hand", ())


def test_what_is_not_compared_is_listed_with_the_reason(
    compare: Callable[[Run], LayerReport],
) -> None:
    def run(x: np.ndarray) -> list[Observation]:
        return [
            *doubled_and_squared(x),
            Observation(ObservedOp(name="ids", type="cast", not_comparable="int32"), x),
            Observation(ObservedOp(name="size", type="sum"), x[:150]),
            Observation(ObservedOp(name="few", type="sum"), x[:2]),
            Observation(ObservedOp(name="ones", type="fill"), np.ones_like(x)),
            Observation(ObservedOp(name="odd", type="abs"), np.roll(x, 7)),
            Observation(ObservedOp(name="nan", type="log"), np.full_like(x, np.nan)),
            Observation(ObservedOp(name="all", type="XNNPACK", op_count=5), np.roll(x, 9)),
        ]

    report = compare(run)
    reasons = {item.op.name: item.reason for item in report.unrelated}
    assert reasons["ids"] == "int32"
    assert "as many elements" in reasons["size"]
    assert "fewer than 64" in reasons["few"]
    assert "all equal" in reasons["ones"]
    assert "like it" in reasons["odd"]
    assert "not finite" in reasons["nan"]
    assert len(report.layers) + len(report.unrelated) == 9
    assert report.hidden_op_count == 4


def test_an_output_is_compared_however_small_it_is(
    compare: Callable[[Run], LayerReport], tmp_path: Path
) -> None:
    values = np.array([[1.0, 2.0]] * len(SAMPLES), np.float32)
    np.save(tmp_path / "floats" / "sum.npy", values)
    file = tmp_path / "floats" / "float_ops.json"
    record = FloatOps.model_validate_json(file.read_bytes())
    small = FloatOp(
        name="sum",
        type="sum",
        shape=(2,),
        sources=("square",),
        same_as="sum",
        outputs=("logits",),
        file="sum.npy",
    )
    file.write_text(record.model_copy(update={"ops": (*record.ops, small)}).model_dump_json())

    def run(x: np.ndarray) -> list[Observation]:
        op = ObservedOp(name="7", type="SUM", sources=("b",), output="logits")
        return [*doubled_and_squared(x), Observation(op, values[0])]

    last = compare(run).layers[-1]
    assert (last.op.name, last.float_op, last.sqnr_db) == ("7", "sum", float("inf"))


def test_values_that_pass_on_what_they_inherited_are_told(
    compare: Callable[[Run], LayerReport],
) -> None:
    def run(x: np.ndarray) -> list[Observation]:
        first, second = doubled_and_squared(x)
        hidden = ObservedOp(name="i", type="cast", sources=("b",), not_comparable="int8")
        copy = ObservedOp(name="c", type="reshape", sources=("i", "a"))
        return [
            first,
            second,
            Observation(hidden, x[:0]),
            Observation(copy, second.values.reshape(20, 10)),
        ]

    report = compare(run)
    last = report.layers[-1]
    assert last.inherited_db == last.sqnr_db == pytest.approx(40.0, abs=1e-3)
    assert [layer.op.name for layer in report.worst_first] == ["b", "c", "a"]
    assert [layer.op.name for layer in report.worst_origins] == ["b", "a"]


def test_a_value_that_is_not_finite_is_the_worst(compare: Callable[[Run], LayerReport]) -> None:
    def run(x: np.ndarray) -> list[Observation]:
        first, second = doubled_and_squared(x)
        values = first.values.copy()
        values[3] = np.inf
        return [Observation(first.op, values), second]

    worst = compare(run).worst_first[0]
    assert (worst.op.name, worst.sqnr_db) == ("a", float("-inf"))


def test_runs_of_other_ops_are_refused(compare: Callable[[Run], LayerReport]) -> None:
    def run(x: np.ndarray) -> list[Observation]:
        return doubled_and_squared(x)[: 1 + int(x is SAMPLES[0]["x"])]

    with pytest.raises(ArtifactInvalid, match="other ops"):
        compare(run)


@pytest.mark.parametrize("how", ["refusal", "shut"])
def test_an_artifact_whose_values_cannot_be_seen_has_a_report_that_says_why(
    compare: Callable[..., LayerReport], how: str
) -> None:
    report = compare(doubled_and_squared, **{how: "it draws random numbers"})
    assert (report.refusal, report.layers, report.unrelated) == ("it draws random numbers", (), ())
    assert compare(doubled_and_squared).refusal == ""


def test_a_runtime_that_shows_nothing_fails(
    compare: Callable[[Run], LayerReport], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(layers, "runtime", lambda _name: object())
    with pytest.raises(StepFailed, match="shows no values"):
        layers.compare_layers(
            tmp_path,
            runtime_name="blind",
            contract=CONTRACT,
            floats=tmp_path,
            samples=SAMPLES,  # type: ignore[arg-type]  # is not reached
            context=StepContext(tmp_path),
        )
