"""Rows on SavedModels: TensorFlow writes and reads them in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.frontends.saved_model import PLUGIN
from tests.frontends.saved_models import MARK, read_apart

from .table import ROWS

SAVED = {
    "saved-model-damaged": "damaged",
    "saved-model-weights": "weights_missing",
    "saved-model-mixed": "weights_of_another",
    "saved-model-signature": "no_default",
    "saved-model-op": "loops",
    "saved-model-state": "changes_a_variable",
    "saved-model-file": "writes_a_file",
    "saved-model-python": "runs_python",
    "saved-model-shape": "open_shape",
    "saved-model-link": "link",
    "saved-model-endless": "calls_itself",
    "saved-model-bomb": "huge_constant",
}
OTHERS = {
    "empty": "0 graphs with the tag 'serve'",
    "weights_damaged": "too short to be an sstable",
    "unknown_signature": "no signature 'third'; signatures: 'first', 'second'",
    "takes_its_own_result": "'Relu' takes its own result",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved_models")


@pytest.fixture(scope="module")
def seen(folder: Path) -> Any:
    return read_apart(folder, *SAVED.values(), *OTHERS)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_model_that_cannot_be_used_is_refused(name: str, seen: Any, folder: Path) -> None:
    found = seen[SAVED[name]]
    ROWS[name].check(found["code"], found["exit_code"], found["text"])
    assert not (folder / MARK).exists()


def test_trust_is_refused_where_nothing_may_run(tmp_path: Path) -> None:
    source = ModelSource(reference=str(tmp_path), trusted=True)
    with pytest.raises(InvalidModel, match="nothing of a SavedModel may run code"):
        PLUGIN.read(source, StepContext(output=tmp_path))


@pytest.mark.parametrize("name", OTHERS)
def test_a_saved_model_that_is_damaged_is_refused(name: str, seen: Any) -> None:
    assert seen[name]["code"] == "invalid-model"
    assert OTHERS[name] in seen[name]["text"]
