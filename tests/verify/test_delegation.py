"""Fallback and soundness: what a target forbids is refused, with names and counts."""

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, WeightInfo
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import ArtifactInvalid, DelegationRefused
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.targets import FallbackAllowance
from mobilesdk.verify.delegation import enforce_fallback
from mobilesdk.verify.soundness import enforce_sound

INSIDE = [("conv", "XnnpackBackend"), ("add", "XnnpackBackend")]
MIXED = [*INSIDE, ("aten::topk", ""), ("aten::layer_norm", ""), ("aten::layer_norm", "")]


def info(pairs, form="executorch", **fields):
    ops = tuple(
        OpInfo(name=f"op{i}", type=kind, dtype="float32", delegate=delegate)
        for i, (kind, delegate) in enumerate(pairs)
    )
    fields = {"weights": (), **fields}
    return ArtifactInfo(format=form, size_bytes=1, inputs=(), outputs=(), ops=ops, **fields)


def allowed(max_ops, *ops):
    return FallbackAllowance(max_ops=max_ops, reason="small", ops=ops or None)


def test_a_wholly_delegated_program_passes():
    enforce_fallback(info(INSIDE), "forbid")


def test_forbidden_fallback_names_ops_with_counts_most_frequent_first():
    with pytest.raises(
        DelegationRefused, match=r"3 op.*2 of aten::layer_norm, 1 of aten::topk.*none"
    ):
        enforce_fallback(info(MIXED), "forbid")


def test_a_program_without_any_delegate_is_all_fallback():
    with pytest.raises(DelegationRefused):
        enforce_fallback(info([("aten::add", "")]), "forbid")


def test_so_many_ops_may_be_outside_and_no_more():
    enforce_fallback(info(MIXED), allowed(3))
    with pytest.raises(DelegationRefused, match=r"3 ops .* allows 2"):
        enforce_fallback(info(MIXED), allowed(2))


def test_only_named_ops_may_be_outside():
    enforce_fallback(info(MIXED), allowed(3, "aten::topk", "aten::layer_norm"))
    with pytest.raises(DelegationRefused, match="1 of aten::topk stay outside"):
        enforce_fallback(info(MIXED), allowed(9, "aten::layer_norm"))
    with pytest.raises(DelegationRefused, match="3 ops"):
        enforce_fallback(info(MIXED), allowed(2, "aten::topk", "aten::layer_norm"))


def weight(name, *, finite):
    return WeightInfo(
        name=name,
        op="conv",
        shape=(1, 1),
        scheme=WeightScheme(),
        size_bytes=4,
        finite=finite,
        fingerprint=fingerprint(np.zeros((1, 1))),
    )


def test_a_sound_artifact_passes():
    enforce_sound(info(INSIDE, weights=(weight("w", finite=True),)))


def test_problems_and_weights_that_are_not_finite_are_named():
    bad = info(INSIDE, weights=(weight("w", finite=False),), problems=("index out of range",))
    with pytest.raises(ArtifactInvalid, match=r"2 problem[\s\S]*index out of range[\s\S]*weight w"):
        enforce_sound(bad)


def test_a_weight_that_a_problem_names_is_told_once():
    twice = info(INSIDE, weights=(weight("w", finite=False),), problems=("w: not finite",))
    with pytest.raises(ArtifactInvalid, match=r"1 problem") as refused:
        enforce_sound(twice)
    assert "holds numbers" not in refused.value.message


def test_many_problems_are_counted():
    with pytest.raises(ArtifactInvalid, match="and 2 more"):
        enforce_sound(info(INSIDE, problems=tuple(f"p{n}" for n in range(12))))
