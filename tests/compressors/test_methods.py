"""What each method leaves in the weights and in the record, and how methods follow each other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mobilesdk.core.form import Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, Request, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.errors import CompressionIncomplete, InvalidDataset
from mobilesdk.graph.program import load_program, save_program
from mobilesdk.graph.rounding import round_linear
from mobilesdk.plugins import discovery

Apply = Callable[..., Model]


def state(model: Model) -> dict[str, Tensor]:
    """Read the weights of a model."""
    return {name: t.detach() for name, t in load_program(model.path).state_dict.items()}


def record(model: Model) -> CompressionRecord:
    """Read what was done to a model."""
    return CompressionRecord.model_validate_json(model.sidecars["compression"].read_text())


def planned(model: Model) -> dict[str, str]:
    return {weight.name: str(weight.planned) for weight in record(model).weights}


def test_int8_weights_lie_on_their_grids_and_biases_move(apply: Apply, float_model: Model) -> None:
    model = apply("quantize_weights")
    before, after = state(float_model), state(model)
    for weight in record(model).weights:
        if weight.planned.encoding == "linear":
            rounded = round_linear(before[weight.name], weight.role, weight.planned)[0]
            assert torch.equal(after[weight.name], rounded)
    assert planned(model) == {
        "stem.weight": "float32",
        "conv.weight": "int8/channel",
        "depthwise.weight": "int8/channel",
        "up.weight": "int8/channel",
        "table.weight": "int8/channel",
        "linear.weight": "int8/channel",
    }
    assert torch.equal(after["stem.weight"], before["stem.weight"])
    assert not torch.equal(after["linear.bias"], before["linear.bias"])


def test_blocks_and_overrides(apply: Apply) -> None:
    model = apply(
        "quantize_weights",
        weights={"bits": 4, "granularity": "per_block", "block_size": 32},
        overrides={"embedding": {"bits": 8}, "linear": {"bits": 32}},
    )
    schemes = planned(model)
    assert schemes["conv.weight"] == "int4/channel"  # 16 input channels: one block
    assert schemes["depthwise.weight"] == "int8/channel"
    assert schemes["table.weight"] == "int8/channel"
    assert schemes["linear.weight"] == "float32"
    reasons = {weight.name: weight.reason for weight in record(model).weights}
    assert "one block" in reasons["conv.weight"]
    assert "depthwise" in reasons["depthwise.weight"]
    assert reasons["table.weight"] == reasons["linear.weight"] == ""


def test_better_rounding_keeps_the_schemes_and_is_recorded(apply: Apply) -> None:
    for method in ("quantize_weights", "palettize"):
        plain = apply(method, weights={"bits": 4})
        better = apply(method, weights={"bits": 4}, rounding="gptq")
        assert planned(better) == planned(plain)
        assert not torch.equal(state(better)["conv.weight"], state(plain)["conv.weight"])
        notes = record(better).notes
        assert f"{method}: weights are rounded by gptq" in notes
        named = {note.split()[1] for note in notes if "rounded to nearest" in note}
        assert named == {"up.weight", "table.weight"}


def test_static_rounds_small_weights_too(apply: Apply) -> None:
    model = apply("quantize_static", activations={"observer": "percentile"})
    assert set(planned(model).values()) == {"int8/channel"}
    expected = ActivationScheme(mode="static", bits=8, observer="percentile")
    assert record(model).activations == expected
    assert {Trait.QUANTIZED, Trait.ON_GRID} <= model.traits


def test_static_activations_change_the_corrected_biases(apply: Apply) -> None:
    static, dynamic = state(apply("quantize_static")), state(apply("quantize_dynamic"))
    assert torch.equal(static["conv.weight"], dynamic["conv.weight"])
    assert not torch.equal(static["linear.bias"], dynamic["linear.bias"])


def test_tables_hold_few_values(apply: Apply) -> None:
    model = apply("palettize", weights={"bits": 2, "granularity": "per_group", "group_size": 16})
    weights = state(model)
    assert planned(model)["conv.weight"] == "palette2/group16"
    assert planned(model)["up.weight"] == "palette2/group10"  # 16 does not divide 40
    assert planned(model)["depthwise.weight"] == "palette8/tensor"
    for group in weights["conv.weight"].split(16):
        assert len(group.unique()) == 4
    assert len(weights["depthwise.weight"].unique()) > 100


def test_tables_of_integers_and_of_single_channels(apply: Apply) -> None:
    fields = {"bits": 2, "granularity": "per_channel", "table_bits": 8}
    model = apply("palettize", weights=fields)
    weights = state(model)
    assert planned(model)["conv.weight"] == "palette2-int8/channel"
    for channel in weights["conv.weight"]:
        entries = channel.unique().double()
        assert len(entries) <= 4
        steps = entries / entries.abs().max() * 127
        assert torch.allclose(steps, steps.round(), atol=1e-4)
    assert (
        planned(apply("palettize", weights={"bits": 8, "granularity": "per_channel"}))[
            "linear.weight"
        ]
        == "palette8/tensor"
    )  # tables of 256 entries for 40 elements each


def test_zeros_outlive_what_follows(apply: Apply, float_model: Model) -> None:
    sparse = apply("sparsify", ratio=0.6)
    assert sparse.traits == float_model.traits | {Trait.SPARSE}
    assert planned(sparse)["conv.weight"] == "float32 sparse60%"
    assert "table.weight" not in planned(sparse)
    zeros = state(sparse)["conv.weight"] == 0
    assert int(zeros.sum()) == int(0.6 * zeros.numel())
    for method, scheme in (("palettize", "palette6/tensor"), ("quantize_weights", "int8/channel")):
        model = apply(method, sparse)
        assert planned(model)["conv.weight"] == f"{scheme} sparse60%"
        assert planned(model)["table.weight"] == scheme
        assert (state(model)["conv.weight"][zeros] == 0).all()
        assert record(model).methods == ("sparsify", method)


def test_zeros_that_a_pattern_does_not_allow_stay_asked_for(apply: Apply) -> None:
    """40 output channels do not divide into blocks of 16; a later method does not forget it."""
    sparse = apply("sparsify", ratio=0.5, block_size=16)
    for model in (sparse, apply("quantize_weights", sparse)):
        (weight,) = (each for each in record(model).weights if each.name == "up.weight")
        assert weight.requested.sparsity == 0.5
        assert weight.planned.sparsity == 0
        assert "it stays dense: 16 does not divide its 40 output channels" in weight.reason
        assert "sparse50%/block16" in planned(model)["conv.weight"]


def test_float16_says_how_the_rest_is_stored(apply: Apply, float_model: Model) -> None:
    half = apply("fp16")
    before, after = state(float_model), state(half)
    assert set(planned(half).values()) == {"float16"}
    assert torch.equal(after["conv.weight"], before["conv.weight"].half().float())
    model = apply("palettize", half)
    assert planned(model)["stem.weight"] == "float16"
    assert planned(model)["conv.weight"] == "palette6/tensor"
    assert record(model).activations == ActivationScheme(mode="float", bits=16)


def test_the_request_covers_every_planned_scheme(apply: Apply) -> None:
    for method, fields in (
        ("quantize_weights", {"weights": {"bits": 4}}),
        ("palettize", {"weights": {"bits": 4}}),
        ("quantize_static", {}),
    ):
        plugin = discovery.compressor(method)
        request = plugin.request(plugin.config.model_validate(fields), Request())
        model = apply(method, **fields)
        assert request.activations == record(model).activations
        for weight in record(model).weights:
            allowed = {request.weights[weight.role], WeightScheme()}
            assert weight.planned in allowed


def test_no_method_rounds_twice() -> None:
    rounding = [discovery.compressor(name) for name in discovery.names(discovery.Kind.COMPRESSORS)]
    for first in rounding:
        if Trait.QUANTIZED in first.adds:
            assert all(first.adds & second.forbids for second in rounding)


@pytest.mark.parametrize("method", ["quantize_weights", "palettize", "sparsify"])
def test_without_correction_no_data_is_needed(apply: Apply, method: str, tmp_path: Path) -> None:
    plugin = discovery.compressor(method)
    ratio = {"ratio": 0.5} if method == "sparsify" else {}
    with_it = plugin.config.model_validate(ratio)
    without = plugin.config.model_validate({"bias_correction": False, **ratio})
    assert plugin.needs(with_it) is Needs.CALIBRATION
    assert plugin.needs(without) is Needs.NONE


def test_correction_without_data_is_refused(float_model: Model, tmp_path: Path) -> None:
    plugin = discovery.compressor("quantize_weights")
    with pytest.raises(InvalidDataset, match="calibration"):
        plugin.apply(float_model, plugin.config(), StepContext(output=tmp_path))
    config = plugin.config.model_validate({"bias_correction": False})
    plugin.apply(float_model, config, StepContext(output=tmp_path))


@pytest.mark.parametrize(
    ("method", "value", "words"),
    [("quantize_weights", float("nan"), "not finite"), ("fp16", 1e5, "too large")],
)
def test_weights_that_cannot_be_stored_are_refused_by_name(
    apply: Apply, float_model: Model, tmp_path: Path, method: str, value: float, words: str
) -> None:
    program = load_program(float_model.path)
    with torch.no_grad():
        program.state_dict["conv.weight"][0, 0, 0, 0] = value
    path = tmp_path / "broken.pt2"
    save_program(program, path)
    with pytest.raises(CompressionIncomplete, match=rf"conv\.weight.*{words}"):
        apply(method, float_model.model_copy(update={"path": path}))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("quantize_weights", {"weights": {"bits": 5}}),
        ("quantize_weights", {"weights": {"granularity": "per_block"}}),
        ("quantize_weights", {"weights": {"granularity": "per_block", "block_size": 0}}),
        ("quantize_weights", {"overrides": {"bias": {"bits": 8}}}),
        ("quantize_static", {"activations": {"bits": 4}}),
        ("quantize_static", {"activations": {"observer": "histogram"}}),
        ("palettize", {"weights": {"bits": 5}}),
        ("palettize", {"weights": {"table_bits": 4}}),
        ("palettize", {"rounding": "gptq", "bias_correction": False}),
        ("quantize_weights", {"rounding": "adaround"}),
        ("palettize", {"weights": {"group_size": 16}}),
        ("sparsify", {"ratio": 1.0}),
        ("sparsify", {}),
        ("sparsify", {"ratio": 0.5, "kept": [2, 4]}),
        ("sparsify", {"kept": [2, 4], "block_size": 4}),
        ("sparsify", {"kept": [4, 4]}),
        ("sparsify", {"kept": [2, 3]}),
        ("sparsify", {"ratio": 0.5, "block_size": 3}),
    ],
)
def test_impossible_fields_are_refused(method: str, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        discovery.compressor(method).config.model_validate(fields)
