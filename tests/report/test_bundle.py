"""The page on a bundle: what a manifest says is shown as text, whatever it holds."""

import pytest

from mobilesdk.core.layers import LayerReport
from mobilesdk.report.bundle import bundle_page
from tests.pipeline.test_claims import manifest, sqnr

HOSTILE = "<script>alert(1)</script>"


def shown(made, name="bundle", layers=None, **variant):
    (entry,) = made.models
    changed = entry.variants[0].model_copy(update=variant)
    entry = entry.model_copy(update={"variants": (changed,)})
    return bundle_page(made.model_copy(update={"models": (entry,)}), name, layers or {})


def test_text_of_others_is_no_markup():
    gate = sqnr(19.9, "failed").model_copy(update={"reason": HOSTILE})
    failure = {"model": "m", "target": "u", "step": HOSTILE, "code": HOSTILE}
    report = LayerReport(
        format="x", sample_count=0, how="", refusal=HOSTILE, layers=(), unrelated=()
    )
    page = shown(
        manifest(gate, failures=[failure]),
        name=HOSTILE,
        layers={("m", "t"): report},
        target_title=HOSTILE,
        verification_reason=HOSTILE,
        ran_on=HOSTILE,
        profile=HOSTILE,
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 10


def test_a_failed_gate_stands_out_and_a_passed_one_does_not():
    assert 'class="failed"' in shown(manifest(sqnr(19.9, "failed"), verification="failed_gate"))
    assert 'class="failed"' not in shown(manifest(sqnr(20.0, "passed"), releasable=True))


def test_a_page_tells_how_to_get_layers_if_there_are_none():
    report = LayerReport(format="x", sample_count=0, how="", refusal="no", layers=(), unrelated=())
    told = "No layers were compared: build with --layers 8"
    assert told in shown(manifest())
    assert told not in shown(manifest(), layers={("m", "t"): report})


@pytest.mark.parametrize(
    ("ran_on", "accelerator", "told"),
    [
        ("reference executor on the host", "neural_engine", True),
        ("", "neural_engine", False),
        ("XnnpackBackend on the host", "xnnpack", False),
    ],
)
def test_a_page_tells_that_no_accelerator_ran(ran_on, accelerator, told):
    page = shown(manifest(), ran_on=ran_on, accelerator=accelerator)
    words = "Run on the host&#x27;s CPU, not on the accelerator (neural engine)."
    assert (words in page) is told
    assert "Device: not measured." in page


def test_layers_are_those_of_the_variant():
    report = LayerReport(
        format="x", sample_count=0, how="", refusal="it is shut", layers=(), unrelated=()
    )
    assert "it is shut" in shown(manifest(), layers={("m", "t"): report})
    assert "it is shut" not in shown(manifest(), layers={("m", "another"): report})
