"""Each op of TensorFlow that is read, against TensorFlow itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mobilesdk.graph.saved_model.ops import OPS
from tests.graph.saved_model.cases import CASES, REFUSED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen() -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.graph.saved_model.ops_worker"],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.partition("RESULT")[2])


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
