"""SavedModels that can be read. Those that cannot are in ``tests/bad_input``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mobilesdk.core.model import ModelSummary
from mobilesdk.frontends.saved_model import PLUGIN
from mobilesdk.graph.program import load_program
from tests.frontends.saved_models import GOOD, MARK, read_apart

pytestmark = pytest.mark.slow

NAMES = (*GOOD, "wrong-function", "stated-open_shape")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved_models")


@pytest.fixture(scope="module")
def seen(folder: Path) -> Any:
    return read_apart(folder, *NAMES)


def summary(folder: Path, name: str) -> ModelSummary:
    return ModelSummary.model_validate_json((folder / f"{name}-read/summary.json").read_bytes())


def ops(folder: Path, name: str) -> Counter[str]:
    program = load_program(folder / f"{name}-read/program.pt2")
    names = (str(n.target) for n in program.graph.nodes if n.op == "call_function")
    return Counter(name.removeprefix("aten.").partition(".")[0] for name in names)


@pytest.mark.parametrize("name", GOOD)
def test_a_model_computes_what_tensorflow_does(seen: Any, name: str) -> None:
    assert seen[name] == {}


def test_a_rule_that_is_wrong_is_found(seen: Any) -> None:
    found = seen["wrong-function"]
    assert found["code"] == "artifact-invalid"
    assert "differs from what its framework computes: output 'y'" in found["text"]


def test_weights_have_the_names_of_variables_and_lie_as_layers_take_them(
    seen: Any, folder: Path
) -> None:
    assert [(w.name, w.role, w.shape) for w in summary(folder, "images").weights] == [
        ("stem.kernel", "conv", (8, 3, 3, 3)),
        ("depthwise.kernel", "depthwise", (8, 1, 3, 3)),
        ("squeeze.kernel", "conv", (4, 8, 1, 1)),
        ("excite.kernel", "conv", (8, 4, 1, 1)),
        ("head.kernel", "conv", (16, 8, 1, 1)),
        ("scores.kernel", "linear", (10, 16)),
    ]
    assert set(load_program(folder / "images-read/program.pt2").graph_signature.parameters) == {
        f"{layer}.{part}"
        for layer in ("stem", "depthwise", "squeeze", "excite", "head", "scores")
        for part in ("kernel", "bias")
    }


def test_norms_are_folded_and_the_order_of_axes_is_changed_once(seen: Any, folder: Path) -> None:
    found = ops(folder, "images")
    assert found["permute"] == 1
    assert found["conv2d"] == 5
    assert found["add"] == 2  # the offset of the pixels, and the residual
    assert found["hardtanh"] == 2


def test_inputs_and_outputs_have_the_names_of_the_signature(seen: Any, folder: Path) -> None:
    contract = summary(folder, "several_inputs").contract
    assert [(i.name, i.dtype, i.shape) for i in contract.inputs] == [
        ("ids", "int32", (1, 6)),
        ("numbers", "float32", (1, 4)),
    ]
    assert [each.name for each in contract.outputs] == ["label", "size"]


def test_attention_is_made_of_layers(seen: Any, folder: Path) -> None:
    found = summary(folder, "transformer")
    roles = Counter(weight.role for weight in found.weights)
    assert (roles["embedding"], roles["linear"]) == (1, 6)
    assert found.family == "transformer"


def test_rows_of_a_variable_are_looked_up(seen: Any, folder: Path) -> None:
    assert "embedding" in ops(folder, "table")


def test_a_contract_states_what_is_open(seen: Any, folder: Path) -> None:
    assert seen["stated-open_shape"] == {}
    assert summary(folder, "stated-open_shape").contract.inputs[0].shape == (1, 4)


def test_what_the_signature_does_not_need_is_not_run(seen: Any, folder: Path) -> None:
    assert seen["one_of_several"] == seen["writes_a_file_when_it_is_loaded"] == {}
    assert not (folder / MARK).exists()


def test_it_is_known_what_a_model_was_made_from(seen: Any, folder: Path) -> None:
    known = json.loads((folder / "function-read/dependencies.json").read_text())
    files = {Path(entry["path"]) for entry in known["files"]}
    assert {path.relative_to(folder) for path in files if folder in path.parents} == {
        Path("function/saved_model.pb"),
        Path("function/variables/variables.data-00000-of-00001"),
        Path("function/variables/variables.index"),
    }
    assert {"tensorflow_cpu", "torch"} <= set(known["distributions"])


def test_it_claims_folders_by_their_graph(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert not PLUGIN.claims(str(tmp_path / "net"))
    (tmp_path / "net/saved_model.pb").write_bytes(b"")
    assert PLUGIN.claims(str(tmp_path / "net"))
    assert PLUGIN.claims(f"{tmp_path / 'net'}:other")
    assert not PLUGIN.claims(str(tmp_path / "net/saved_model.pb"))
