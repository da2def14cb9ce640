"""The floors of artifacts without a plan: what is the model passes, what carries nothing fails."""

from __future__ import annotations

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, WeightInfo
from mobilesdk.core.contract import BoxLayout, Contract, InputSpec, OutputSpec
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.verify.floors import floor_db, judge_floors
from mobilesdk.verify.parity import compare

FLOAT32, FLOAT16 = WeightScheme(), WeightScheme(bits=16)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
SPARSE = WeightScheme(bits=16, sparsity=0.5)
TRUE = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
NOISE = np.random.default_rng(1).normal(size=TRUE.shape).astype(np.float32)


def info(*schemes: WeightScheme, dtype: str = "float32") -> ArtifactInfo:
    weights = tuple(
        WeightInfo(
            name=str(place),
            op="linear",
            shape=(8, 8),
            scheme=scheme,
            size_bytes=64,
            finite=True,
            fingerprint=fingerprint(np.eye(8, dtype=np.float32)),
        )
        for place, scheme in enumerate(schemes)
    )
    return ArtifactInfo(
        format="any",
        size_bytes=0,
        inputs=(),
        outputs=(),
        weights=weights,
        ops=(OpInfo(name="y", type="linear", dtype=dtype),),
    )


def contract(dtype: str = "float32", **fields: object) -> Contract:
    shape = TRUE.shape[1:] if "layout" not in fields else (1, 16, 4)
    spec = {"name": "y", "shape": shape, "dtype": dtype, "kind": "other"} | fields
    given = InputSpec(name="x", shape=(1,), dtype="float32")
    return Contract(inputs=(given,), outputs=(OutputSpec.model_validate(spec),))


@pytest.mark.parametrize(
    ("artifact", "limit_db"),
    [
        (info(FLOAT32), 80),
        (info(), 80),
        (info(FLOAT16), 40),
        (info(FLOAT32, FLOAT16), 40),
        (info(FLOAT32, dtype="float16"), 40),
        (info(FLOAT32, INT8), 10),
        (info(SPARSE), 10),
        (info(FLOAT32, dtype="int8"), 10),
        (info(FLOAT32, dtype="int32"), 80),
    ],
)
def test_the_floor_follows_from_what_the_file_holds(artifact: ArtifactInfo, limit_db: int) -> None:
    assert floor_db(artifact)[0] == limit_db


@pytest.mark.parametrize(
    ("artifact", "error", "verdict"),
    [
        (info(FLOAT32), 1e-5, "passed"),
        (info(FLOAT32), 1e-3, "failed"),
        (info(FLOAT16), 1e-3, "passed"),
        (info(FLOAT16), 0.1, "failed"),
        (info(INT8), 0.1, "passed"),
        (info(INT8), 1.0, "failed"),
    ],
)
def test_an_output_is_held_to_the_floor(artifact: ArtifactInfo, error: float, verdict: str) -> None:
    parity = compare(contract(), {"y": TRUE}, {"y": TRUE + error * NOISE})
    (gate,) = judge_floors(artifact, contract(), parity)
    assert (gate.name, gate.output, gate.verdict) == ("min_sqnr_db", "y", verdict)
    assert gate.reason.startswith("The floor of a file without a plan, which is ")


@pytest.mark.parametrize(("changed", "verdict"), [(3, "passed"), (7, "failed")])
def test_integers_may_not_be_mostly_others(changed: int, verdict: str) -> None:
    true = np.arange(512, dtype=np.int64).reshape(8, 64)
    seen = np.where(np.arange(8)[:, None] < changed, true + 1, true)
    parity = compare(contract("int64"), {"y": true}, {"y": seen})
    (gate,) = judge_floors(info(FLOAT16), contract("int64"), parity)
    assert (gate.name, gate.verdict) == ("min_equality", verdict)


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, "passed"), (500.0, "failed")])
def test_boxes_in_another_order_are_the_same_boxes(moved: float, verdict: str) -> None:
    corners = np.arange(8 * 16 * 2, dtype=np.float32).reshape(8, 1, 16, 2) * 3
    boxes = np.concatenate([corners, corners + 2], axis=-1)
    held = contract(kind="boxes", layout=BoxLayout())
    parity = compare(held, {"y": boxes}, {"y": boxes[:, :, ::-1] + np.float32(moved)})
    (gate,) = judge_floors(info(FLOAT32), held, parity)
    assert (gate.name, gate.verdict) == ("min_matched_boxes", verdict)


def test_without_figures_there_is_nothing_to_judge() -> None:
    assert judge_floors(info(FLOAT32), contract(), None) == ()
