"""Parity: figures per output, and what cannot be compared is refused."""

import numpy as np
import pytest

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.parity import ParityReport
from mobilesdk.errors import ArtifactInvalid, InvalidModel
from mobilesdk.verify import estimates
from mobilesdk.verify.parity import compare

SAMPLES = 40


def contract(**kinds):
    """A contract whose outputs are ``name=(kind, dtype)``."""
    return Contract(
        inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),),
        outputs=tuple(
            OutputSpec(name=name, shape=(1, 8), dtype=dtype, kind=kind)
            for name, (kind, dtype) in kinds.items()
        ),
    )


LOGITS = contract(logits=("classification", "float32"))


def logits(seed=0, shape=(SAMPLES, 1, 8)):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def only(report):
    (output,) = report.outputs
    return output


def test_equal_outputs_are_exact_in_every_figure():
    output = only(compare(LOGITS, {"logits": logits()}, {"logits": logits()}))
    assert output.sqnr_db.value == output.sqnr_db.interval[0] == float("inf")
    assert output.max_abs_error.value == 0.0
    assert output.cosine.value == pytest.approx(1.0)
    assert output.kl.value == pytest.approx(0.0, abs=1e-12)
    assert output.top1_agreement.value == output.top5_agreement.value == 1.0
    assert output.top1_agreement.interval == pytest.approx((0.9119, 1.0), abs=1e-4)


def test_the_interval_holds_the_value_and_shrinks_with_samples():
    widths = []
    for count in (20, 2000):
        true = logits(shape=(count, 1, 8))
        noisy = true + 0.3 * logits(1, true.shape)
        output = only(compare(LOGITS, {"logits": true}, {"logits": noisy}))
        for estimate in (output.sqnr_db, output.cosine, output.kl, output.top1_agreement):
            low, high = estimate.interval
            assert low <= estimate.value <= high
        widths.append(np.diff(output.sqnr_db.interval).item())
        assert output.max_abs_error.interval is None
        assert output.cosine_min.interval is None
    assert widths[1] < widths[0] / 5


@pytest.mark.parametrize("elements", [1, 8, 50, 8 * SAMPLES])
def test_batches_change_nothing(elements, monkeypatch):
    true, seen = logits(), logits() + 0.1 * logits(1)
    whole = compare(LOGITS, {"logits": true}, {"logits": seen})
    monkeypatch.setattr(estimates, "_BATCH_ELEMENTS", elements)
    assert compare(LOGITS, {"logits": true}, {"logits": seen}) == whole


def test_swapped_samples_are_seen():
    """Pairing matters: the same outputs in another order are far away."""
    output = only(compare(LOGITS, {"logits": logits()}, {"logits": logits()[::-1]}))
    assert output.sqnr_db.value < 0
    assert output.top1_agreement.value < 0.5


def test_figures_follow_the_kind_of_output():
    spec = contract(
        vector=("embedding", "float32"), ids=("tokens", "int64"), words=("tokens", "float32")
    )
    true = {"vector": logits(), "ids": np.arange(80).reshape(40, 2), "words": logits()}
    seen = {**true, "ids": true["ids"] + (true["ids"] == 7)}
    vector, ids, words = compare(spec, true, seen).outputs
    assert vector.kl is None
    assert vector.top1_agreement is None
    assert words.top1_agreement.value == 1.0
    assert ids.sqnr_db is None
    assert ids.top1_agreement is None
    assert ids.equality.value == pytest.approx(1 - 1 / 80)
    assert vector.equality is words.equality is None
    assert ids.max_abs_error.value == 1.0


def test_integers_that_are_equal_in_every_sample_have_an_exact_interval():
    ids = np.arange(SAMPLES)[:, None] + 2**62
    spec = contract(ids=("other", "int64"))
    same = only(compare(spec, {"ids": ids}, {"ids": ids}))
    assert same.equality.value == 1.0
    assert same.equality.interval == pytest.approx((0.9119, 1.0), abs=1e-4)
    one_off = ids + (np.arange(SAMPLES)[:, None] == 7)  # no float64 tells them apart
    assert only(compare(spec, {"ids": ids}, {"ids": one_off})).equality.value == 1 - 1 / SAMPLES


def test_few_classes_have_no_top_5_and_one_column_no_classes():
    three = only(compare(LOGITS, {"logits": logits()[..., :3]}, {"logits": logits()[..., :3]}))
    assert three.top1_agreement is not None
    assert three.top5_agreement is None
    one = only(compare(LOGITS, {"logits": logits()[..., :1]}, {"logits": logits()[..., :1]}))
    assert one.top1_agreement is None


def test_samples_with_several_rows_are_drawn_as_a_whole():
    true = logits(shape=(SAMPLES, 1, 16, 8))
    seen = true + logits(1, true.shape)
    output = only(compare(LOGITS, {"logits": true}, {"logits": seen}))
    assert 0.0 < output.top1_agreement.value < 1.0
    low, high = output.top1_agreement.interval
    assert low < output.top1_agreement.value < high


def test_the_report_survives_json_with_its_infinities():
    report = compare(LOGITS, {"logits": logits()}, {"logits": logits()})
    text = report.model_dump_json()
    assert '"inf"' in text
    assert ParityReport.model_validate_json(text) == report


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_artifact_that_gives_no_numbers_is_invalid(bad):
    seen = logits()
    seen[7, 0, 3] = bad
    with pytest.raises(ArtifactInvalid, match="'logits' for sample 7"):
        compare(LOGITS, {"logits": logits()}, {"logits": seen})
    with pytest.raises(InvalidModel, match=r"float model .* 'logits' for sample 7"):
        compare(LOGITS, {"logits": seen}, {"logits": seen})


def test_missing_outputs_and_other_shapes_are_invalid():
    with pytest.raises(ArtifactInvalid, match="no output 'logits'"):
        compare(LOGITS, {"logits": logits()}, {})
    with pytest.raises(ArtifactInvalid, match=r"shape \(1, 4\), not \(1, 8\)"):
        compare(LOGITS, {"logits": logits()}, {"logits": logits()[..., :4]})
    with pytest.raises(ArtifactInvalid, match="39 and 40 samples"):
        compare(LOGITS, {"logits": logits()}, {"logits": logits()[1:]})


def test_outputs_must_be_of_the_same_samples():
    spec = contract(a=("other", "float32"), b=("other", "float32"))
    arrays = {"a": logits(), "b": logits()[1:]}
    with pytest.raises(ValueError, match="numbers of samples"):
        compare(spec, arrays, arrays)
