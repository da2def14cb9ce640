"""Pruning as a step: what it leaves, what it records, what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.form import Needs, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.scheme import CompressionRecord
from mobilesdk.core.step import StepContext
from mobilesdk.core.structure import StructureRecord
from mobilesdk.errors import CompressionIncomplete, InvalidDataset, UnknownName
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import export_program, graph_module, load_program, save_program
from mobilesdk.graph.records import complete_record, read_summary
from mobilesdk.plugins import discovery
from tests.graph.pruning.networks import network
from tests.programs import write_program

PLUGIN = discovery.compressor("prune_channels")
WIDTHS = {"stem.weight": 16, "wide.weight": 64, "narrow.weight": 8}

Prune = Callable[..., Model]


class Net(nn.Module):
    """The 64 channels in its middle are made of 16, so that they tell of each other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.wide = nn.Conv2d(16, 64, 1)
        self.narrow = nn.Conv2d(64, 8, 1)
        self.head = nn.Linear(8 * 36, 10)
        nn.init.constant_(self.wide.bias, 0.5)  # no channel is dead

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(self.stem(x).relu()).relu()
        return self.head(self.narrow(x).flatten(1))


class Calibration:
    digest = "0" * 64

    def __len__(self) -> int:
        return 24

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        generator = np.random.default_rng(0)
        for _ in range(len(self)):
            yield {"x": generator.normal(size=(1, 3, 6, 6)).astype(np.float32)}


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    program = prepare(export_program(Net().eval(), [torch.zeros(1, 3, 6, 6)]))
    contract = Contract(
        inputs=(InputSpec(name="x", shape=(1, 3, 6, 6), dtype="float32"),),
        outputs=(OutputSpec(name="scores", shape=(1, 10), dtype="float32", kind="classification"),),
    )
    return write_program(program, contract, tmp_path_factory.mktemp("float"), "vision")


@pytest.fixture
def prune(tmp_path: Path, float_model: Model) -> Prune:
    folders = iter(range(100))

    def run(model: Model = float_model, **fields: Any) -> Model:
        output = tmp_path / str(next(folders))
        output.mkdir()
        config = PLUGIN.config.model_validate(fields)
        return PLUGIN.apply(model, config, StepContext(output=output, calibration=Calibration()))

    return run


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory, float_model: Model) -> Model:
    """The model without a quarter of its channels."""
    config = PLUGIN.config.model_validate({"ratio": 0.25})
    output = tmp_path_factory.mktemp("quarter")
    context = StepContext(output=output, calibration=Calibration())
    return PLUGIN.apply(float_model, config, context)


def structure(model: Model) -> StructureRecord:
    return StructureRecord.model_validate_json(model.sidecars["structure"].read_text())


def widths(model: Model) -> dict[str, int]:
    state = load_program(model.path).state_dict
    return {name: len(state[name]) for name in WIDTHS}


def error(model: Model, other: Model) -> float:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(40, 1, 3, 6, 6, generator=generator)
    one, two = (graph_module(load_program(each.path)) for each in (model, other))
    with torch.no_grad():
        outputs = [torch.cat([run(image)[0] for image in images]) for run in (one, two)]
    return float((outputs[0] - outputs[1]).norm() / outputs[0].norm())


def test_what_is_left_is_smaller_dense_and_said(quarter: Model, float_model: Model) -> None:
    model = quarter
    assert widths(model) == {"stem.weight": 8, "wide.weight": 48, "narrow.weight": 8}
    assert model.traits == float_model.traits | {Trait.PRUNED}
    record = structure(model)
    # 22 of 88 channels are asked for: 16 of 64, and the 6 of the others make 8 of 16.
    lines = {line.weights[0]: line for line in record.dimensions}
    assert {name: line.units_removed for name, line in lines.items()} == {
        "stem.weight": 8,
        "wide.weight": 16,
        "narrow.weight": 0,
    }
    assert lines["wide.weight"].reason == ""
    assert "multiple of 8" in lines["stem.weight"].reason
    assert [kept.weight for kept in record.kept] == ["head.weight"]
    gone = {(each.weight, each.axis): len(each.indices) for each in record.removed}
    assert gone == {
        ("stem.weight", 0): 8,
        ("stem.bias", 0): 8,
        ("wide.weight", 1): 8,
        ("wide.weight", 0): 16,
        ("wide.bias", 0): 16,
        ("narrow.weight", 1): 16,
    }


def test_costs_before_and_after_are_those_counted_by_hand(quarter: Model) -> None:
    record = structure(quarter)
    assert record.before.macs == 36 * (16 * 27 + 64 * 16 + 8 * 64) + 288 * 10
    assert record.after.macs == 36 * (8 * 27 + 48 * 8 + 8 * 48) + 288 * 10
    parameters = (8 * 27 + 8) + (48 * 8 + 48) + (8 * 48 + 8) + (288 * 10 + 10)
    assert record.after.parameter_count == parameters
    assert record.after.size_bytes == 4 * parameters


def test_summary_and_record_have_the_new_shapes(quarter: Model) -> None:
    shapes = {weight.name: weight.shape for weight in complete_record(quarter).weights}
    assert shapes["wide.weight"] == (48, 8, 1, 1)
    assert read_summary(quarter).float_size_bytes == structure(quarter).after.size_bytes


def test_fitting_what_is_left_lowers_the_error(prune: Prune, float_model: Model) -> None:
    fields = {"ratio": 0.5, "keep": ["stem.*", "narrow.*"]}
    as_it_is = prune(**fields, reconstruction=False)
    fitted = prune(**fields)
    assert widths(fitted) == widths(as_it_is)
    assert structure(fitted).removed == structure(as_it_is).removed
    assert error(float_model, fitted) < 0.7 * error(float_model, as_it_is)


@pytest.mark.parametrize("importance", ["l1", "l2", "taylor"])
def test_channels_that_do_nothing_go_first(
    prune: Prune, float_model: Model, tmp_path: Path, importance: str
) -> None:
    program = load_program(float_model.path)
    idle = torch.arange(0, 64, 4)
    with torch.no_grad():
        program.state_dict["wide.weight"][idle] *= 1e-3
        program.state_dict["wide.bias"][idle] = 0.0
        program.state_dict["narrow.weight"][:, idle] *= 1e-3
    save_program(program, tmp_path / "idle.pt2")
    model = float_model.model_copy(update={"path": tmp_path / "idle.pt2"})
    pruned = prune(model, ratio=0.25, keep=["stem.*", "narrow.*"], importance=importance)
    gone = {(each.weight, each.axis): each.indices for each in structure(pruned).removed}
    assert gone["wide.weight", 0] == tuple(idle.tolist())
    assert error(model, pruned) < 1e-3


def test_layers_have_ratios_of_their_own_and_may_be_kept(prune: Prune) -> None:
    model = prune(ratio=0.0, layers={"wide*": 0.5}, round_to=1)
    assert widths(model) == {**WIDTHS, "wide.weight": 32}
    model = prune(ratio=0.5, keep=["wide.weight"], round_to=1)
    assert widths(model) == {"stem.weight": 8, "wide.weight": 64, "narrow.weight": 4}
    reasons = {kept.weight: kept.reason for kept in structure(model).kept}
    assert reasons["wide.weight"] == "the profile keeps it"


def test_the_stream_of_a_residual_network_stays_unless_asked_for(
    prune: Prune, tmp_path: Path
) -> None:
    program = prepare(export_program(network("residual")[0], [torch.zeros(1, 3, 8, 8)]))
    contract = Contract(
        inputs=(InputSpec(name="x", shape=(1, 3, 8, 8), dtype="float32"),),
        outputs=(OutputSpec(name="scores", shape=(1, 5), dtype="float32"),),
    )
    (tmp_path / "residual").mkdir()
    model = write_program(program, contract, tmp_path / "residual")
    fields = {"ratio": 0.5, "reconstruction": False}
    (line,) = structure(prune(model, **fields)).dimensions
    assert line.weights == ("one.weight",)
    for asked in ({"residual_streams": True}, {"layers": {"stem.*": 0.5}}):
        lines = structure(prune(model, **fields, **asked)).dimensions
        assert ("stem.weight", "two.weight") in [each.weights for each in lines]


def test_over_the_network_layers_lose_what_matters_least(prune: Prune) -> None:
    model = prune(ratio=0.25, scope="network", round_to=1)
    assert sum(WIDTHS.values()) - sum(widths(model).values()) == 22
    assert widths(model) != widths(prune(ratio=0.25, round_to=1))
    reasons = {line.reason for line in structure(model).dimensions}
    assert "the ratio is of the network as a whole" in reasons


def test_what_cannot_be_reached_is_refused_by_name(prune: Prune) -> None:
    with pytest.raises(CompressionIncomplete, match=r"narrow\.weight \(8 channels\)"):
        prune(ratio=0.5, round_to=8, keep=["stem.*", "wide.*"])
    with pytest.raises(CompressionIncomplete, match=r"head\.weight: it is an output"):
        prune(ratio=0.0, layers={"head.*": 0.5})
    with pytest.raises(CompressionIncomplete, match=r"No channel can be pruned.*keeps it"):
        prune(ratio=0.5, keep=["*"])


def test_patterns_that_match_nothing_are_refused_in_the_plan_and_in_the_step(
    prune: Prune, float_model: Model
) -> None:
    config = PLUGIN.config.model_validate({"ratio": 0.1, "keep": ["stm.*"]})
    reasons = PLUGIN.refuse(config, read_summary(float_model))
    assert reasons == ["prune_channels names 'stm.*', which is no weight of the model"]
    with pytest.raises(UnknownName, match=r"stm\.\*"):
        prune(ratio=0.1, keep=["stm.*"])


def test_samples_are_asked_for_where_they_are_needed(float_model: Model, tmp_path: Path) -> None:
    norm = {"ratio": 0.25, "reconstruction": False}
    for fields, needs in (
        ({"ratio": 0.25}, Needs.CALIBRATION),
        (norm, Needs.NONE),
        ({**norm, "importance": "taylor"}, Needs.CALIBRATION),
    ):
        assert PLUGIN.needs(PLUGIN.config.model_validate(fields)) is needs
    with pytest.raises(InvalidDataset, match="calibration"):
        config = PLUGIN.config.model_validate({"ratio": 0.25})
        PLUGIN.apply(float_model, config, StepContext(output=tmp_path))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "ratio"),
        ({"ratio": 1.0}, "less than 1"),
        ({"ratio": 0.0}, "prunes nothing"),
        ({"ratio": 0.1, "importance": "bn_scale"}, "folded into the weights"),
        ({"ratio": 0.1, "round_to": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_fields_say_what_is_wrong(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PLUGIN.config.model_validate(fields)


def test_structure_comes_first_and_once() -> None:
    for name in discovery.names(discovery.Kind.COMPRESSORS):
        assert discovery.compressor(name).adds & PLUGIN.forbids, name


def test_what_follows_finds_the_new_shapes(quarter: Model, tmp_path: Path) -> None:
    plugin = discovery.compressor("quantize_static")
    output = tmp_path / "quantized"
    output.mkdir()
    context = StepContext(output=output, calibration=Calibration())
    model = plugin.apply(quarter, plugin.config(), context)
    record = CompressionRecord.model_validate_json(model.sidecars["compression"].read_text())
    assert record.methods == ("prune_channels", "quantize_static")
    assert {weight.name: weight.shape for weight in record.weights}["wide.weight"] == (48, 8, 1, 1)
    assert structure(model) == structure(quarter)
