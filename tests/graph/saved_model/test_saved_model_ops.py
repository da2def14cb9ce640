"""Each op of TensorFlow that is read, against TensorFlow itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mobilesdk.graph.saved_model.ops import OPS
from tests.apart import result_of
from tests.graph.saved_model.cases import CASES, REFUSED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen() -> Any:
    return json.loads(result_of("-m", "tests.graph.saved_model.ops_worker"))


@pytest.mark.parametrize("name", CASES)
def test_an_op_gives_what_tensorflow_gives(seen: Any, name: str) -> None:
    assert not seen["cases"][name]["told"]


def test_every_op_has_a_case(seen: Any) -> None:
    covered = {op for case in seen["cases"].values() for op in case["ops"]}
    assert set(OPS) - covered == {"ReadVariableOp", "ResourceGather"}  # of variables


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_exactly_is_refused(seen: Any, name: str) -> None:
    told, _ = REFUSED[name]
    assert told in seen["refused"][name]
