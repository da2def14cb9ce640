"""The record that an exporter reads has a line for every weight of the model."""

import pytest

from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Form
from mobilesdk.core.model import Model, ModelSummary, ModelWeight
from mobilesdk.core.scheme import ActivationScheme, CompressionRecord, WeightRecord, WeightScheme
from mobilesdk.graph.records import complete_record, read_record, read_summary

INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
SUMMARY = ModelSummary(
    contract=Contract(inputs=(), outputs=()),
    family="other",
    weights=(
        ModelWeight(name="first", role="linear", shape=(4, 2)),
        ModelWeight(name="second", role="conv", shape=(8, 4, 3, 3)),
        ModelWeight(name="third", role="other", shape=(4,)),
    ),
    op_counts={},
    float_size_bytes=0,
)
RECORD = CompressionRecord(
    weights=(
        WeightRecord(
            name="second",
            role="conv",
            shape=(8, 4, 3, 3),
            requested=INT8,
            planned=INT8,
            reason="why",
        ),
    ),
    activations=ActivationScheme(mode="dynamic", bits=8),
    methods=("some_method",),
)


@pytest.fixture
def model(tmp_path) -> Model:
    (tmp_path / "summary.json").write_text(SUMMARY.model_dump_json())
    return Model(
        form=Form.EXPORTED_PROGRAM,
        path=tmp_path / "program.pt2",
        sidecars={"summary": tmp_path / "summary.json"},
    )


@pytest.fixture
def compressed(model, tmp_path) -> Model:
    path = tmp_path / "compression.json"
    path.write_text(RECORD.model_dump_json())
    return model.model_copy(update={"sidecars": model.sidecars | {"compression": path}})


def test_the_sidecars_are_read_as_they_were_written(compressed):
    assert read_summary(compressed) == SUMMARY
    assert read_record(compressed) == RECORD


def test_a_model_that_no_method_touched_has_an_empty_record(model):
    assert read_record(model) == CompressionRecord()


def test_the_complete_record_keeps_what_was_decided_and_the_order_of_the_model(compressed):
    complete = complete_record(compressed)
    assert [weight.name for weight in complete.weights] == ["first", "second", "third"]
    assert complete.weights[1] == RECORD.weights[0]
    assert complete.activations == RECORD.activations
    assert complete.methods == RECORD.methods


def test_a_weight_that_no_method_looked_at_was_asked_to_be_float32_and_is(compressed):
    first, _, third = complete_record(compressed).weights
    assert first.requested == first.planned == third.planned == WeightScheme()
    assert (first.role, first.shape, first.reason) == ("linear", (4, 2), "")
