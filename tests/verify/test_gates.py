"""Gates: each limit passes on one side, fails on the other, and passes nothing unseen."""

import pytest

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.gate import Gate, Verification
from mobilesdk.core.parity import Estimate, OutputParity, ParityReport
from mobilesdk.targets import (
    AnyBudget,
    Budget,
    ClassBudget,
    EmbeddingBudget,
    MaskBudget,
    TokenBudget,
)
from mobilesdk.verify.gates import judge, never_evaluated, verification, without_limit

FIGURES = {
    "sqnr_db": 25.0,
    "max_abs_error": 0.5,
    "cosine": 0.99,
    "kl": 0.1,
    "top1_agreement": 0.96,
    "top5_agreement": 0.99,
}
SIZES = {"artifact_size_bytes": 300, "float_size_bytes": 1000}


def contract(kind="classification", dtype="float32"):
    return Contract(
        inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),),
        outputs=(OutputSpec(name="y", shape=(1, 8), dtype=dtype, kind=kind),),
    )


def parity(kind="classification", **figures):
    estimates = {
        name: Estimate(value=value, interval=(value - 0.01, value + 0.01))
        for name, value in (figures or FIGURES).items()
    }
    return ParityReport(sample_count=128, outputs=(OutputParity(name="y", kind=kind, **estimates),))


def gates(budget, measured=None, of=None, **sizes):
    return judge(budget, of or contract(), measured, **(SIZES | sizes))


def only(found):
    (gate,) = found
    return gate


LIMITS = [
    ("min_sqnr_db", 25.0, 25.1, "dB"),
    ("max_abs_error", 0.5, 0.49, ""),
    ("min_cosine", 0.99, 0.991, ""),
    ("max_kl", 0.1, 0.09, "nats"),
    ("min_top1_agreement", 0.96, 0.97, "ratio"),
    ("min_top5_agreement", 0.99, 0.995, "ratio"),
]


@pytest.mark.parametrize(("name", "kept", "broken", "unit"), LIMITS)
def test_a_limit_passes_at_its_value_and_fails_just_beyond(name, kept, broken, unit):
    passed = only(gates(Budget(classification=ClassBudget(**{name: kept})), parity()))
    assert (passed.verdict, passed.value, passed.limit) == ("passed", kept, kept)
    assert (passed.unit, passed.sample_count, passed.output) == (unit, 128, "y")
    assert passed.interval == pytest.approx((kept - 0.01, kept + 0.01))
    failed = only(gates(Budget(classification=ClassBudget(**{name: broken})), parity()))
    assert failed.verdict == "failed"


@pytest.mark.parametrize(("name", "kept", "_broken", "_unit"), LIMITS)
def test_a_limit_without_a_figure_is_never_passed(name, kept, _broken, _unit):
    budget = Budget(classification=ClassBudget(**{name: kept}))
    for measured in (None, ParityReport(sample_count=1, outputs=())):
        gate = only(gates(budget, measured))
        assert gate.verdict == "not_evaluated"
        assert gate.value is None
        assert gate.reason


def test_a_figure_that_is_no_number_fails():
    gate = only(gates(Budget(any=AnyBudget(min_sqnr_db=1.0)), parity(sqnr_db=float("nan"))))
    assert gate.verdict == "failed"


def test_an_infinite_figure_passes_and_survives_json():
    gate = only(gates(Budget(any=AnyBudget(min_sqnr_db=90.0)), parity(sqnr_db=float("inf"))))
    assert gate.verdict == "passed"
    assert Gate.model_validate_json(gate.model_dump_json()) == gate


@pytest.mark.parametrize(
    ("limits", "size", "verdict"),
    [
        ({"max_size_ratio": 0.3}, 300, "passed"),
        ({"max_size_ratio": 0.3}, 301, "failed"),
        ({"max_size_ratio": 0.3, "graph_allowance_bytes": 50}, 350, "passed"),
        ({"max_size_ratio": 0.3, "graph_allowance_bytes": 50}, 351, "failed"),
        ({"max_size_bytes": 300}, 300, "passed"),
        ({"max_size_bytes": 299}, 300, "failed"),
    ],
)
def test_sizes_are_judged_without_running_anything(limits, size, verdict):
    gate = only(gates(Budget(any=AnyBudget(**limits)), artifact_size_bytes=size))
    assert (gate.verdict, gate.output, gate.sample_count) == (verdict, "", 0)


def test_a_limit_that_is_not_the_profiles_number_alone_says_how_it_was_made():
    budget = {"max_size_ratio": 0.3, "graph_allowance_bytes": 50}
    plain, raised = (
        only(gates(Budget(any=AnyBudget(**limits)))) for limits in ({"max_size_ratio": 0.3}, budget)
    )
    assert (plain.limit, plain.reason) == (0.3, "")
    assert raised.limit == 0.3 + 50 / 1000
    assert all(f"{name} = {number}" in raised.reason for name, number in budget.items())


def test_a_model_without_weights_can_be_judged():
    budget = Budget(any=AnyBudget(max_size_ratio=0.3, graph_allowance_bytes=500))
    assert only(gates(budget, float_size_bytes=0)).verdict == "passed"


def test_the_table_of_a_kind_replaces_limits_of_any_and_adds_to_them():
    budget = Budget(
        any=AnyBudget(min_sqnr_db=30.0, min_cosine=0.9),
        classification=ClassBudget(min_sqnr_db=20.0, min_top1_agreement=0.9),
        embedding=EmbeddingBudget(min_cosine=1.0),
    )
    found = {gate.name: gate.limit for gate in gates(budget, parity())}
    assert found == {"min_sqnr_db": 20.0, "min_cosine": 0.9, "min_top1_agreement": 0.9}
    assert [g.verdict for g in gates(budget, parity("embedding"), contract("embedding"))] == [
        "failed",
        "failed",
    ]


INTEGERS = Budget(
    any=AnyBudget(min_sqnr_db=30.0, max_abs_error=0.0, min_equality=1.0),
    tokens=TokenBudget(min_top1_agreement=0.99, min_equality=0.9),
    mask=MaskBudget(max_abs_error=2.0),
)


@pytest.mark.parametrize(
    ("kind", "figures", "expected"),
    [
        ("other", {"equality": 1.0}, {"min_equality": (1.0, "passed")}),
        ("other", {"equality": 0.99}, {"min_equality": (1.0, "failed")}),
        ("tokens", {"equality": 0.95}, {"min_equality": (0.9, "passed")}),
        ("tokens", {"equality": 0.85}, {"min_equality": (0.9, "failed")}),
        (
            "mask",
            {"equality": 1.0, "max_abs_error": 3.0},
            {"min_equality": (1.0, "passed"), "max_abs_error": (2.0, "failed")},
        ),
    ],
)
def test_integers_are_held_to_equality_and_to_no_limit_for_floats(kind, figures, expected):
    found = gates(INTEGERS, parity(kind, **figures), contract(kind, "int64"))
    assert {gate.name: (gate.limit, gate.verdict) for gate in found} == expected


def test_floats_are_not_held_to_equality():
    names = {gate.name for gate in gates(INTEGERS, parity("tokens"), contract("tokens"))}
    assert names == {"min_sqnr_db", "max_abs_error", "min_top1_agreement"}


def test_integers_that_were_not_run_are_not_evaluated():
    gate = only(gates(INTEGERS, None, contract("other", "int32")))
    assert (gate.name, gate.verdict) == ("min_equality", "not_evaluated")


def test_size_comes_first_then_outputs_in_a_fixed_order():
    budget = Budget(
        any=AnyBudget(max_size_ratio=0.5, min_sqnr_db=1.0),
        classification=ClassBudget(max_kl=1.0, min_top1_agreement=0.1),
    )
    names = [gate.name for gate in gates(budget, parity())]
    assert names == ["max_size_ratio", "min_sqnr_db", "min_top1_agreement", "max_kl"]


def gate(verdict):
    return Gate(name="min_sqnr_db", value=1.0, limit=1.0, unit="dB", verdict=verdict)


@pytest.mark.parametrize(
    ("verdicts", "run_by", "expected"),
    [
        (["passed"], "runtime", Verification.VERIFIED_ON_HOST),
        ([], "runtime", Verification.VERIFIED_ON_HOST),
        (["passed"], "reference", Verification.VERIFIED_BY_REFERENCE),
        (["passed"], None, Verification.NOT_EVALUATED),
        ([], None, Verification.NOT_EVALUATED),
        (["passed", "not_evaluated"], "runtime", Verification.NOT_EVALUATED),
        (["not_evaluated", "failed"], None, Verification.FAILED_GATE),
        (["passed", "failed"], "runtime", Verification.FAILED_GATE),
    ],
)
def test_what_all_gates_amount_to(verdicts, run_by, expected):
    assert verification([gate(verdict) for verdict in verdicts], run_by) is expected


def test_what_no_run_can_tell_is_unverifiable_unless_a_gate_failed():
    gates = never_evaluated([gate("passed"), gate("not_evaluated")], "random_normal: drawn")

    assert [(item.verdict, item.reason) for item in gates] == [
        ("passed", ""),
        ("unverifiable", "random_normal: drawn"),
    ]
    assert verification(gates, None, unverifiable=True) is Verification.UNVERIFIABLE
    failed = [*gates, gate("failed")]
    assert verification(failed, None, unverifiable=True) is Verification.FAILED_GATE


def test_an_output_that_no_limit_is_about_is_named():
    budget = Budget(any=AnyBudget(max_size_ratio=0.9, min_sqnr_db=20.0))
    assert without_limit(contract(), gates(budget)) == ()
    ids = contract("other", "int64")
    assert without_limit(ids, gates(budget, of=ids)) == (ids.outputs[0].name,)
