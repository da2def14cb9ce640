"""``mobilesdk init``: what it writes can be read, and says what the model says."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilesdk.core.contract import Contract, ImageInput, InputSpec, OutputSpec, TokenInput
from mobilesdk.pipeline.project import read_project
from mobilesdk.pipeline.project_text import contract_lines
from mobilesdk.pipeline.toml_text import toml_key, toml_value
from tests.conftest import LINEAR, STAND_INS

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
SCALARS = TEXT | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3)
)


@settings(deadline=None)
@given(TEXT, VALUES)
def test_what_is_written_as_toml_reads_back(key, value):
    assert tomllib.loads(f"{toml_key(key)} = {toml_value(value)}") == {key: value}


def test_a_value_that_toml_does_not_have_is_refused():
    with pytest.raises(TypeError, match="NoneType"):
        toml_value(["x", None])


def test_a_contract_in_a_project_is_the_one_that_was_written(tmp_path):
    image = ImageInput(size=(4, 6), mean=(1.0, 2.5, 3.0), std=127.5, layout="NHWC")
    contract = Contract(
        inputs=(
            InputSpec(name="x", shape=(1, 4, 6, 3), dtype="float32", preparation=image),
            InputSpec(
                name="ids",
                shape=(1, 8),
                dtype="int64",
                preparation=TokenInput(vocabulary_size=9),
            ),
        ),
        outputs=(OutputSpec(name="y", shape=(1, 2), dtype="float32", kind="embedding"),),
        family="other",
    )
    lines = "\n".join(contract_lines(contract, "other"))
    path = tmp_path / "mobilesdk.toml"
    path.write_text(f'schema_version = 1\n[[models]]\nmodel = "a.py:b"\n{lines}\n')
    (model,), _ = read_project(path)
    assert model.contract == contract


def test_init_then_plan_reads_what_init_wrote(command_line, sets, monkeypatch):
    folder = command_line.folder / "project"
    folder.mkdir()
    path = folder / "mobilesdk.toml"
    made = command_line("init", LINEAR, "--output", path, "--calibration", sets / "calibration.npz")
    assert made.code == 0, made.err
    (model,), targets = read_project(path)
    assert model.name == "linear"
    assert (folder / model.reference.rpartition(":")[0]).resolve() == STAND_INS / "linear.py"
    assert model.calibration.samefile(sets / "calibration.npz")
    assert model.evaluation is None
    assert model.contract.outputs[0].kind == "classification"

    monkeypatch.chdir(folder)
    result = command_line("plan", "--json")
    assert result.code == 0, result.err
    assert tuple(variant["target"] for variant in result.json["variants"]) == targets
    assert len(targets) > 5


def test_the_contract_of_the_file_holds_in_place_of_the_models_own(command_line, sets, monkeypatch):
    path = command_line.folder / "mobilesdk.toml"
    assert command_line("init", LINEAR, "--output", path).code == 0
    path.write_text(path.read_text().replace("shape = [1, 3]", "shape = [1, 5]"))
    monkeypatch.chdir(command_line.folder)
    result = command_line("plan", "--target", "apple-legacy", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "invalid-contract")
    assert "output 'scores' is float32[1, 5]" in result.err


def test_init_replaces_no_file_unless_told(command_line):
    path = command_line.folder / "mobilesdk.toml"
    path.write_text("mine")
    result = command_line("init", LINEAR, "--output", path)
    assert (result.code, path.read_text()) == (2, "mine")
    result = command_line("init", LINEAR, "--output", path, "--overwrite", "--json")
    assert result.code == 0, result.err
    assert result.json["output"] == str(path)
    assert read_project(path)[1] == tuple(result.json["targets"])


def test_init_names_a_set_that_does_not_exist_and_a_model_that_cannot_be_read(command_line):
    path = command_line.folder / "mobilesdk.toml"
    result = command_line("init", LINEAR, "--output", path, "--evaluation", "nowhere")
    assert (result.code, "evaluation set nowhere does not exist" in result.err) == (2, True)
    result = command_line("init", "nowhere.py:build", "--output", path, "--json")
    assert json.loads(result.out)["error"]["code"] == "invalid-model"
    assert not path.exists()
