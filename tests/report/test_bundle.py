"""The page on a bundle: what a manifest says is shown as text, whatever it holds."""

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


def test_layers_are_those_of_the_variant():
    report = LayerReport(
        format="x", sample_count=0, how="", refusal="it is shut", layers=(), unrelated=()
    )
    assert "it is shut" in shown(manifest(), layers={("m", "t"): report})
    assert "it is shut" not in shown(manifest(), layers={("m", "another"): report})
