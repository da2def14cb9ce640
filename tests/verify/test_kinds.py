"""Figures and gates of kinds without a best class; each has a fault that it has to see."""

import numpy as np
import pytest

from mobilesdk.core.contract import BoxLayout, Contract, InputSpec, MaskLayout, OutputSpec
from mobilesdk.targets import Budget
from mobilesdk.verify.gates import judge, verification
from mobilesdk.verify.parity import compare

SAMPLES = 40


def contract(*outputs):
    return Contract(
        inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),), outputs=tuple(outputs)
    )


def output(name, kind, array, layout=None):
    return OutputSpec(
        name=name, shape=array.shape[1:], dtype=array.dtype.name, kind=kind, layout=layout
    )


def gate_of(spec, true, seen, kind, **limit):
    """Give the one gate that a limit leads to."""
    budget = Budget.model_validate({kind: limit})
    parity = compare(spec, true, seen)
    (gate,) = judge(budget, spec, parity, 1, 1)
    return gate


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=(SAMPLES, 1, *shape)).astype(np.float32)


# --- embeddings


def embeddings():
    true = noise(0, 16)
    return contract(output("vector", "embedding", true)), {"vector": true}


def test_an_embedding_keeps_its_neighbours_under_a_small_error():
    spec, true = embeddings()
    seen = {"vector": true["vector"] + 1e-4 * noise(1, 16)}
    gate = gate_of(spec, true, seen, "embedding", min_neighbour_agreement=0.95)
    assert (gate.verdict, gate.value) == ("passed", 1.0)
    assert gate.interval == pytest.approx((0.9119, 1.0), abs=1e-4)


def test_an_embedding_whose_neighbours_changed_fails_though_its_cosine_is_high():
    """A large common part hides the error from the cosine, and from no neighbour."""
    spec, true = embeddings()
    true["vector"] += 20.0
    seen = {"vector": true["vector"] + noise(1, 16)}
    cosine = gate_of(spec, true, seen, "embedding", min_cosine=0.99)
    gate = gate_of(spec, true, seen, "embedding", min_neighbour_agreement=0.95)
    assert (cosine.verdict, gate.verdict) == ("passed", "failed")
    low, high = gate.interval
    assert low < gate.value < high


def test_two_samples_tell_nothing_of_neighbours():
    spec, true = embeddings()
    two = {"vector": true["vector"][:2]}
    gate = gate_of(spec, two, two, "embedding", min_neighbour_agreement=0.5)
    assert gate.verdict == "not_evaluated"


# --- sequences


def sequences(dtype):
    generator = np.random.default_rng(2)
    if dtype == "int64":
        true = generator.integers(0, 9, (SAMPLES, 1, 6))
    else:
        true = generator.normal(size=(SAMPLES, 1, 6, 9)).astype(np.float32)
    return contract(output("words", "tokens", true)), {"words": true}


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_a_fault_at_one_position_does_not_hide_in_the_mean(dtype):
    spec, true = sequences(dtype)
    seen = {"words": true["words"].copy()}
    seen["words"][:, :, 4] = np.roll(true["words"][:, :, 4], 1, axis=0)
    parity = compare(spec, true, seen).outputs[0]
    assert (parity.top1_agreement or parity.equality).value > 0.8
    for limit in ("min_position_agreement", "min_sequence_agreement"):
        assert gate_of(spec, true, true, "tokens", **{limit: 1.0}).verdict == "passed"
        gate = gate_of(spec, true, seen, "tokens", **{limit: 0.5})
        assert (gate.verdict, gate.value < 0.5) == ("failed", True)
    assert parity.sequence_agreement.interval[0] < parity.sequence_agreement.value
    assert parity.position_agreement_min.interval is None


# --- boxes


def detector(layout=None, columns=0):
    generator = np.random.default_rng(3)
    low = generator.uniform(0, 80, (SAMPLES, 1, 5, 2))
    size = generator.uniform(10, 20, (SAMPLES, 1, 5, 2))
    found = np.concatenate([low, low + size], axis=-1).astype(np.float32)
    scores = generator.uniform(0.6, 1, (SAMPLES, 1, 5, 2)).astype(np.float32)
    scores[:, :, 0] = 0.1  # below the limit: no box
    if columns:
        found = np.concatenate([found, scores], axis=-1)
        return contract(output("found", "boxes", found, layout)), {"found": found}
    spec = contract(output("found", "boxes", found, layout), output("scores", "other", scores))
    return spec, {"found": found, "scores": scores}


LAYOUT = BoxLayout(scores="scores")


def test_boxes_that_moved_a_little_are_the_same_boxes():
    spec, true = detector(LAYOUT)
    seen = {"found": true["found"] + np.float32(0.2), "scores": true["scores"] - np.float32(0.01)}
    figures = compare(spec, true, seen).outputs[0]
    assert figures.matched_boxes.value == 1.0
    assert 0.9 < figures.mean_iou.interval[0] < figures.mean_iou.value < 1.0
    assert figures.score_difference.value == pytest.approx(0.01, rel=1e-3)
    for limit in ({"min_matched_boxes": 1.0}, {"min_mean_iou": 0.9}):
        assert gate_of(spec, true, seen, "boxes", **limit).verdict == "passed"


@pytest.mark.parametrize(
    ("fault", "limit"),
    [
        ("moved", {"min_mean_iou": 0.9}),
        ("far", {"min_matched_boxes": 0.9}),
        ("far", {"min_mean_iou": 0.1}),
        ("lost", {"min_matched_boxes": 0.9}),
        ("more", {"min_matched_boxes": 0.99}),
        ("unsure", {"max_score_difference": 0.02}),
        ("other class", {"min_matched_boxes": 0.9}),
    ],
)
def test_each_fault_of_a_detector_fails_its_gate(fault, limit):
    spec, true = detector(LAYOUT)
    seen = {name: array.copy() for name, array in true.items()}
    scores = seen["scores"]
    if fault == "moved":
        seen["found"] += np.float32(3.0)
    elif fault == "far":
        seen["found"] += np.float32(500.0)
    elif fault == "lost":
        scores[:, :, 3] = 0.0
    elif fault == "more":
        scores[:, :, 0] = 0.9
    elif fault == "unsure":
        scores -= np.float32(0.05)
    else:
        scores[:] = scores[..., ::-1]
    assert gate_of(spec, true, true, "boxes", **limit).verdict == "passed"
    assert gate_of(spec, true, seen, "boxes", **limit).verdict == "failed"


def test_scores_may_stand_beside_the_boxes_and_order_tells_nothing():
    spec, true = detector(BoxLayout(), columns=2)
    seen = {"found": true["found"][:, :, ::-1]}
    figures = compare(spec, true, seen).outputs[0]
    assert (figures.matched_boxes.value, figures.mean_iou.value) == (1.0, 1.0)
    assert figures.score_difference.value == 0.0


def test_boxes_without_a_layout_and_sets_without_boxes_pass_nothing():
    spec, true = detector()
    gate = gate_of(spec, true, true, "boxes", min_matched_boxes=0.1)
    assert (gate.verdict, "BoxLayout" in gate.reason) == ("not_evaluated", True)
    assert verification([gate], "runtime") == "not_evaluated"
    spec, true = detector(LAYOUT.model_copy(update={"min_score": 2.0}))
    gate = gate_of(spec, true, true, "boxes", min_mean_iou=0.1)
    assert (gate.verdict, "no boxes in the evaluation set" in gate.reason) == (
        "not_evaluated",
        True,
    )


# --- masks


def segmentation(layout, dtype="float32"):
    scores = noise(4, 3, 8, 8)
    if dtype == "int64":
        scores = scores.argmax(axis=2)
    elif layout is not None and layout.class_axis is None:
        scores = scores[:, :, :1]
    return contract(output("mask", "mask", scores, layout)), {"mask": scores}


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        (MaskLayout(class_axis="first"), "float32"),
        (MaskLayout(threshold=0.0), "float32"),
        (None, "int64"),
    ],
)
def test_a_mask_passes_as_it_is_and_fails_when_it_is_shifted(layout, dtype):
    spec, true = segmentation(layout, dtype)
    seen = {"mask": np.roll(true["mask"], 1, axis=-1)}
    for limit in ("min_mean_iou", "min_pixel_agreement"):
        passed = gate_of(spec, true, true, "mask", **{limit: 1.0})
        assert (passed.verdict, passed.value) == ("passed", 1.0)
        failed = gate_of(spec, true, seen, "mask", **{limit: 0.8})
        assert failed.verdict == "failed"
        low, high = failed.interval
        assert low < failed.value < high


def test_a_rare_class_that_is_lost_shows_in_the_overlap_and_hardly_in_the_pixels():
    mask = np.zeros((SAMPLES, 1, 16, 16), np.int64)
    mask[:, :, 0, :2] = 1
    spec = contract(output("mask", "mask", mask))
    seen = {"mask": np.zeros_like(mask)}
    figures = compare(spec, {"mask": mask}, seen).outputs[0]
    assert figures.pixel_agreement.value > 0.99
    assert figures.mean_iou.value < 0.51


def test_a_mask_of_floats_without_a_layout_is_not_evaluated():
    spec, true = segmentation(None)
    gate = gate_of(spec, true, true, "mask", min_mean_iou=0.1)
    assert (gate.verdict, "MaskLayout" in gate.reason) == ("not_evaluated", True)
