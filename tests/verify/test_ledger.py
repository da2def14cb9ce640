"""The ledger: whatever the file holds otherwise than planned is found, and nothing else."""

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, WeightInfo
from mobilesdk.core.ledger import Expectation, ExpectedWeight, Ledger, LedgerEntry
from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.errors import CompressionIncomplete
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.targets import PartialAllowance
from mobilesdk.verify.ledger import build_ledger, enforce

FLOAT = WeightScheme()
HALF = WeightScheme(bits=16)
INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
PALETTE = WeightScheme(encoding="palette", bits=4, granularity="per_group", group_size=16)
STATIC = ActivationScheme(mode="static", bits=8)


def values(seed, shape=(32, 64)):
    return np.random.default_rng(seed).standard_normal(shape)


def expected(name, seed, planned=INT8, requested=None, reason="", shape=(32, 64), **fields):
    return ExpectedWeight(
        name=name,
        shape=shape,
        requested=requested or planned,
        planned=planned,
        reason=reason,
        fingerprint=fingerprint(values(seed, shape)),
        **fields,
    )


def stored(name, array, scheme=INT8, size_bytes=100):
    return WeightInfo(
        name=name,
        op="conv",
        shape=array.shape,
        scheme=scheme,
        size_bytes=size_bytes,
        finite=True,
        fingerprint=fingerprint(array),
    )


def info(weights=(), ops=()):
    return ArtifactInfo(
        format="litert", size_bytes=1, inputs=(), outputs=(), weights=tuple(weights), ops=tuple(ops)
    )


def ledger(weights, found, **fields):
    return build_ledger(Expectation(weights=tuple(weights), **fields), info(found))


def only(found):
    (entry,) = found.entries
    return entry


def test_a_weight_that_is_stored_as_planned_is_as_requested():
    entry = only(ledger([expected("a", 0)], [stored("t1", values(0), size_bytes=2100)]))
    assert entry == LedgerEntry(
        kind="weight",
        name="a",
        requested="int8/channel",
        planned="int8/channel",
        applied="int8/channel",
        size_before_bytes=4 * 32 * 64,
        size_after_bytes=2100,
        status="as_requested",
    )


@pytest.mark.parametrize("format", ["coreml", "executorch", "litert"])
@pytest.mark.parametrize("role", ["linear", "conv", "conv_transpose", "embedding"])
def test_rows_and_values_that_changed_places_are_different(format, role):
    item = expected("a", 0, role=role)
    rows = values(0)[[1, 0, *range(2, 32)]]
    pair = values(0)
    pair[3, 5], pair[20, 40] = pair[20, 40], pair[3, 5]
    for changed in (rows, pair):
        found = info([stored("t", changed.T)]).model_copy(update={"format": format})
        entry = only(build_ledger(Expectation(weights=(item,)), found))
        assert entry.status == "different"
        assert "stand in another order" in entry.reason


def test_a_weight_of_no_layer_may_be_stored_in_another_order():
    """The native cells of a format order their gates in their own way."""
    item = expected("lstm.weight_ih_l0", 0, role="other")
    assert ledger([item], [stored("t", values(0)[::-1])]).different == ()


def test_weights_of_like_values_are_told_apart_by_their_order():
    one = expected("one", 0, role="linear")
    other = expected("other", 0, role="linear").model_copy(
        update={"fingerprint": fingerprint(values(0)[::-1])}
    )
    found = [stored("t0", values(0)[::-1].T), stored("t1", values(0).T)]
    assert ledger([one, other], found).different == ()
    assert len(ledger([one, other], found[:1]).different) == 1


def test_a_plan_that_departs_from_the_request_says_why():
    item = expected("a", 0, planned=INT8, requested=INT4, reason="depthwise")
    entry = only(ledger([item], [stored("t", values(0))]))
    assert (entry.status, entry.reason, entry.requested) == (
        "as_planned",
        "depthwise",
        "int4/block32",
    )


def test_weights_are_found_by_value_whatever_their_axes_and_order():
    weights = [expected(f"w{seed}", seed) for seed in range(6)]
    found = [
        stored(f"t{seed}", values(seed).T.reshape(64, 1, 1, 32)) for seed in (3, 5, 0, 1, 4, 2)
    ]
    result = ledger(weights, found)
    assert [entry.name for entry in result.entries] == [item.name for item in weights]
    assert result.different == ()


def test_names_go_before_values_where_the_format_keeps_them():
    """A file that swaps two weights of equal size is caught by name."""
    weights = [expected("a", 0, artifact_name="a_0"), expected("b", 1, artifact_name="b_0")]
    result = ledger(weights, [stored("a_0", values(1)), stored("b_0", values(0))])
    assert [entry.status for entry in result.entries] == ["different", "different"]
    assert "values are others" in result.entries[0].reason


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array * 1.01,
        lambda array: np.where(np.arange(32)[:, None] == 3, 2 * array, array),
        lambda array: np.where(np.abs(array) > 2.5, 2.5, array),
        lambda array: np.zeros_like(array),
    ],
    ids=["scaled", "one channel scaled", "clipped", "zeroed"],
)
def test_other_values_are_different(change):
    entry = only(ledger([expected("a", 0)], [stored("t", change(values(0)))]))
    assert entry.status == "different"
    assert "values are others" in entry.reason


def test_scales_in_float16_may_round_values_and_those_in_float32_may_not():
    found = [stored("t", values(0) * 1.0005)]
    expectation = Expectation(weights=(expected("a", 0),))
    assert len(build_ledger(expectation, info(found)).different) == 1
    half = expectation.model_copy(update={"scale_bits": 16})
    assert build_ledger(half, info(found)).different == ()


def test_float16_storage_rounds_values_and_float32_does_not():
    rounded = values(0).astype(np.float16)
    half = expected("a", 0, planned=HALF)
    assert ledger([half], [stored("t", rounded, HALF)]).different == ()
    single = expected("a", 0, planned=FLOAT)
    assert len(ledger([single], [stored("t", rounded * 1.001, FLOAT)]).different) == 1


@pytest.mark.parametrize(
    ("planned", "applied"),
    [
        (INT8, FLOAT),
        (INT8, HALF),
        (INT8, INT4),
        (INT4, INT8),
        (INT8, INT8.model_copy(update={"symmetric": False})),
        (INT8, INT8.model_copy(update={"granularity": "per_tensor"})),
        (INT4, INT4.model_copy(update={"block_size": 16})),
        (PALETTE, PALETTE.model_copy(update={"bits": 6})),
        (FLOAT, HALF),
        (INT8.model_copy(update={"sparsity": 0.5}), INT8),
        (INT8, INT8.model_copy(update={"sparsity": 0.02})),
        (INT8.model_copy(update={"sparsity": 0.5}), INT8.model_copy(update={"sparsity": 0.48})),
    ],
    ids=str,
)
def test_another_scheme_is_different(planned, applied):
    entry = only(ledger([expected("a", 0, planned)], [stored("t", values(0), applied)]))
    assert entry.status == "different"
    assert entry.applied == str(applied)


def changed(scheme, **fields):
    return scheme.model_copy(update=fields)


@pytest.mark.parametrize(
    ("planned", "applied"),
    [
        (changed(INT4, block_size=64), changed(INT4, granularity="per_channel", block_size=None)),
        (
            changed(PALETTE, group_size=32),
            changed(PALETTE, granularity="per_tensor", group_size=None),
        ),
        (changed(INT8, sparsity=0.5), changed(INT8, sparsity=0.51)),
    ],
    ids=["one block", "one group", "more zeros"],
)
def test_the_same_scheme_by_another_name_is_the_same(planned, applied):
    item = expected("a", 0, planned, shape=(32, 64))
    assert ledger([item], [stored("t", values(0), applied)]).different == ()


def test_one_output_channel_is_the_whole_tensor():
    whole = changed(INT8, granularity="per_tensor")
    for shape, count in (((1, 64), 0), ((2, 32), 1)):
        item = expected("a", 0, INT8, shape=shape)
        assert len(ledger([item], [stored("t", values(0, shape), whole)]).different) == count


def test_a_transposed_convolution_has_its_output_channels_second():
    planned = changed(PALETTE, group_size=16)
    whole = changed(PALETTE, granularity="per_tensor", group_size=None)
    for role, shape, count in (
        ("conv_transpose", (32, 16), 0),
        ("conv_transpose", (16, 32), 1),
        ("conv", (16, 32), 0),
    ):
        item = expected("a", 0, planned, shape=shape, role=role)
        assert len(ledger([item], [stored("t", values(0, shape), whole)]).different) == count


def test_a_missing_weight_is_different():
    result = ledger([expected("a", 0), expected("b", 1)], [stored("t", values(0))])
    assert [(e.name, e.applied) for e in result.different] == [("b", "missing")]
    named = ledger([expected("a", 0, artifact_name="a_0")], [stored("x", values(0))])
    assert [(e.name, e.applied) for e in named.different] == [("a", "missing")]


def test_tied_weights_are_stored_once_and_counted_once():
    result = ledger([expected("a", 0), expected("b", 0)], [stored("t", values(0))])
    assert result.different == ()
    assert [entry.size_after_bytes for entry in result.entries] == [100, 0]
    assert result.entries[1].reason == "stored once with a"


def test_a_compressed_constant_that_is_no_weight_is_different():
    """Weight quantizers take folded position embeddings for weights, and break them."""
    extra = stored("positions", values(9, (64, 48)))
    result = ledger([expected("a", 0)], [stored("t", values(0)), extra])
    (entry,) = result.different
    assert (entry.name, entry.planned) == ("positions", "float32")
    assert "no weight" in entry.reason


def test_float_constants_second_copies_and_static_operands_are_not():
    weights = [expected("a", 0)]
    found = [stored("t", values(0))]
    extra = values(9, (64, 48))
    assert ledger(weights, [*found, stored("c", extra, HALF)]).different == ()
    copy = ledger(weights, [*found, stored("t2", values(0).T)])
    assert (copy.different, copy.entries[1].reason) == ((), "another copy of a")
    static = ledger(weights, [*found, stored("c", extra)], activations=STATIC)
    assert static.different == ()


@pytest.mark.parametrize("scheme", [FLOAT, HALF])
def test_a_float_copy_beside_a_compressed_weight_is_different(scheme):
    copy = values(0).astype(np.float16 if scheme == HALF else np.float64)
    found = [stored("t", values(0)), stored("t2", copy, scheme)]
    result = ledger([expected("a", 0)], found)
    (entry,) = result.different
    assert (entry.name, entry.planned, entry.applied) == ("t2", str(INT8), str(scheme))
    assert entry.reason == "a float copy of a is kept beside it"
    plain = [stored("t", values(0), FLOAT), stored("t2", values(0), FLOAT)]
    assert ledger([expected("a", 0, FLOAT)], plain).different == ()


def ops(*pairs):
    return [OpInfo(name=f"op{i}", type=kind, dtype=dtype) for i, (kind, dtype) in enumerate(pairs)]


def op_ledger(activations, *pairs, float_op_types=None):
    expectation = Expectation(
        weights=(), activations=activations, float_op_types=float_op_types or {}
    )
    return build_ledger(expectation, info(ops=ops(*pairs)))


def test_under_static_activations_every_float_op_is_different():
    result = op_ledger(STATIC, ("CONV_2D", "int8"), ("ADD", "float32"), ("MUL", "float16"))
    assert [entry.name for entry in result.different] == ["op1 (ADD)", "op2 (MUL)"]
    assert result.entries[0].status == "as_requested"


def test_ops_with_a_stated_reason_and_index_ops_are_not():
    result = op_ledger(
        STATIC,
        ("DEQUANTIZE", "float32"),
        ("SHAPE", "int32"),
        ("ARG_MAX", "int64"),
        ("CONV_2D", "uint8"),
        float_op_types={"DEQUANTIZE": "border"},
    )
    assert result.different == ()
    assert (result.entries[0].status, result.entries[0].reason) == ("as_planned", "border")


def test_other_integers_than_planned_are_different_whatever_is_allowed_to_be_float():
    result = op_ledger(STATIC, ("CONV_2D", "int16"), float_op_types={"CONV_2D": "border"})
    assert "int16" in only(result).reason
    wide = ActivationScheme(mode="static", bits=16)
    assert op_ledger(wide, ("CONV_2D", "int16")).different == ()
    assert len(op_ledger(wide, ("CONV_2D", "int8")).different) == 1


def test_a_float_op_in_another_type_than_planned_is_different():
    half = ActivationScheme(bits=16)
    assert op_ledger(half, ("conv", "float16"), ("gather", "int16")).different == ()
    kept = op_ledger(half, ("cast", "float32"), float_op_types={"cast": "border"})
    assert (only(kept).status, only(kept).reason) == ("as_planned", "border")
    for activations, dtype in ((half, "float32"), (ActivationScheme(), "float16")):
        entry = only(op_ledger(activations, ("conv", dtype)))
        assert (entry.status, entry.reason) == ("different", f"computes in {dtype}")
    assert len(op_ledger(ActivationScheme(), ("CONV_2D", "int8")).different) == 1


def test_a_float_op_under_dynamic_activations_never_reads_as_requested():
    dynamic = ActivationScheme(mode="dynamic", bits=8)
    entry = only(op_ledger(dynamic, ("FULLY_CONNECTED", "float32")))
    assert (entry.status, entry.planned, entry.applied) == ("as_planned", "float32", "float32")
    assert entry.requested == "dynamic int8"
    assert "a runtime rounds the input" in entry.reason


def test_a_weight_that_is_decoded_first_is_no_dynamic_one():
    found = [stored("t", values(0)).model_copy(update={"decoded": True})]
    dynamic = ActivationScheme(mode="dynamic", bits=8)
    entry = only(ledger([expected("a", 0)], found, activations=dynamic))
    assert entry.status == "different"
    assert "takes it as floats" in entry.reason
    table = expected("a", 0, role="embedding")
    assert ledger([table], found, activations=dynamic).different == ()
    assert ledger([expected("a", 0)], found).different == ()


def test_what_is_requested_stays_beside_what_an_exporter_plans():
    expectation = Expectation(
        weights=(),
        activations=ActivationScheme(bits=16),
        planned_activations=ActivationScheme(),
        activations_reason="left to the delegate",
    )
    found = ops(("CONV_2D", "float32"), ("ADD", "float16"))
    kept, other = build_ledger(expectation, info(ops=found)).entries
    assert (kept.requested, kept.planned, kept.applied) == ("float16", "float32", "float32")
    assert (kept.status, kept.reason) == ("as_planned", "left to the delegate")
    assert other.status == "different"


def test_a_ledger_as_planned_passes():
    enforce(ledger([expected("a", 0)], [stored("t", values(0))]), None)
    enforce(Ledger(entries=()), None)


def test_the_error_names_the_ten_largest_and_counts_the_rest():
    weights = [expected(f"w{n}", n, shape=(n + 2, 8)) for n in range(14)]
    with pytest.raises(CompressionIncomplete) as caught:
        enforce(ledger(weights, []), None)
    message = caught.value.message
    named = [line.split()[2].rstrip(":") for line in message.splitlines() if "- weight" in line]
    assert named == [f"w{n}" for n in range(13, 3, -1)]
    assert "and 4 more" in message
    assert "14 of 14" in message
    assert "allow_partial" in caught.value.hint


def test_a_share_of_bytes_may_be_allowed():
    weights = [expected("big", 0, shape=(90, 10)), expected("small", 1, shape=(10, 10))]
    result = ledger(weights, [stored("t", values(0, (90, 10)))])
    enforce(result, PartialAllowance(max_fraction=0.11, reason="tiny"))
    with pytest.raises(CompressionIncomplete, match=r"10\.0 %"):
        enforce(result, PartialAllowance(max_fraction=0.09, reason="tiny"))


def test_a_share_of_ops_may_be_allowed():
    result = op_ledger(STATIC, *[("CONV_2D", "int8")] * 3, ("SOFTMAX", "float32"))
    enforce(result, PartialAllowance(max_fraction=0.3, reason="last"))
    with pytest.raises(CompressionIncomplete, match="SOFTMAX"):
        enforce(result, PartialAllowance(max_fraction=0.2, reason="last"))


def test_a_merged_constant_takes_no_other_constant_for_itself():
    weights = [expected("a", 1), expected("b", 2, planned=FLOAT, merged=True)]
    found = ledger(weights, [stored("x", values(1)), stored("y", values(2), FLOAT)])
    assert [(e.name, e.status) for e in found.entries] == [
        ("a", "as_requested"),
        ("b", "as_planned"),
    ]
    assert found.different == ()


def test_a_weight_that_lost_channels_counts_at_its_float_size_and_says_so():
    weight = expected("w", 0, shape=(24, 64))
    found = info([stored("w", values(0, (24, 64)))])
    shapes = {"w": (32, 64)}
    (entry,) = build_ledger(Expectation(weights=(weight,)), found, shapes).entries
    assert (entry.status, entry.size_before_bytes) == ("as_requested", 4 * 32 * 64)
    assert entry.reason == "pruned from [32, 64] to [24, 64]"
    (whole,) = build_ledger(Expectation(weights=(weight,)), found).entries
    assert (whole.reason, whole.size_before_bytes) == ("", 4 * 24 * 64)
