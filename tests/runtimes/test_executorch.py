"""The ExecuTorch runtime: what it refuses, and that what it runs comes from disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilesdk.core.artifact import ArtifactInfo, OpInfo
from mobilesdk.errors import FileRejected
from mobilesdk.plugins import runtime
from tests.apart import result_of
from tests.flatbuffers.pte_files import program

PLUGIN = runtime("executorch")
NOTHING = ArtifactInfo(format="executorch", size_bytes=0, inputs=(), outputs=(), weights=(), ops=())

# Runs in a process of its own: loads a case with contracts that fit and that do not.
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from mobilesdk.core.model import ModelSummary
from mobilesdk.errors import MobileSDKError
from mobilesdk.runtimes.executorch import PLUGIN

folder = Path(sys.argv[1])
contract = ModelSummary.model_validate_json((folder / "source/summary.json").read_bytes()).contract
first, *others = contract.inputs
longer = first.model_copy(update={"shape": (2, *first.shape[1:])})
wider = first.model_copy(update={"dtype": "int32"})
found = {}

def attempt(name, action):
    try:
        action()
        found[name] = "ran"
    except MobileSDKError as error:
        found[name] = f"{error.code}: {error.message}"

def load(changed):
    PLUGIN.load(folder / "model.pte", contract.model_copy(update={"inputs": changed}), 1)

attempt("shape", lambda: load((longer, *others)))
attempt("dtype", lambda: load((wider, *others)))
attempt("count", lambda: load((first,)))
session = PLUGIN.load(folder / "model.pte", contract, 1)
inputs = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in contract.inputs}
attempt("zeros", lambda: session.run(inputs))
attempt("missing", lambda: session.run({}))
attempt("wrong", lambda: session.run(inputs | {first.name: np.zeros(first.shape, "float64")}))
outputs = [session.run(inputs) for _ in range(2)]
found["same"] = all((outputs[0][name] == outputs[1][name]).all() for name in outputs[0])
found["names"] = list(outputs[0])
(folder / "model.pte").write_bytes((folder / "model.pte").read_bytes()[:-40])
attempt("cut", lambda: PLUGIN.load(folder / "model.pte", contract, 1))
print("RESULT" + json.dumps(found))
"""


def op(kind: str, delegate: str) -> OpInfo:
    return OpInfo(name=kind, type=kind, dtype="float32", delegate=delegate)


def test_a_reference_runs_programs_that_core_ml_runs_whole() -> None:
    whole = NOTHING.model_copy(
        update={"delegates": {"CoreMLBackend": 1}, "ops": (op("conv", "CoreMLBackend"),)}
    )
    beside = whole.model_copy(update={"ops": (*whole.ops, op("aten::add.out", ""))})
    split = whole.model_copy(update={"delegates": {"CoreMLBackend": 2}})
    random = whole.model_copy(update={"unverifiable": ("random_normal: drawn",)})

    assert PLUGIN.executes_by(whole) == "reference"
    assert PLUGIN.executes_by(NOTHING) == "runtime"
    assert PLUGIN.refuses(whole) == ""
    assert "aten::add.out" in PLUGIN.refuses(beside)
    assert "several places" in PLUGIN.refuses(split)
    assert "random_normal" in PLUGIN.refuses(random)


def test_unknown_backends_are_named() -> None:
    info = NOTHING.model_copy(update={"delegates": {"XnnpackBackend": 1, "VulkanBackend": 2}})

    assert "VulkanBackend" in PLUGIN.refuses(info)
    assert PLUGIN.refuses(NOTHING.model_copy(update={"delegates": {"XnnpackBackend": 1}})) == ""


def test_inspection_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(program(bytes(48), 1, (3, 4)))

    assert PLUGIN.inspect(path).delegates == {"XnnpackBackend": 1}


def test_junk_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.pte"
    path.write_bytes(b"\0" * 100)

    with pytest.raises(FileRejected):
        PLUGIN.inspect(path)


@pytest.mark.slow
def test_files_run_as_the_contract_says_or_not_at_all(tmp_path: Path) -> None:
    result_of("-m", "tests.exporters.executorch_cases", tmp_path, "text8")
    found = json.loads(result_of("-c", SCRIPT, tmp_path / "text8"))

    assert {name for name, value in found.items() if value == "ran"} == {"zeros"}
    assert found["same"] is True
    assert found["names"] == ["y0", "y1"]
    for name in ("shape", "dtype", "count", "missing", "wrong"):
        assert found[name].startswith("artifact-invalid")
    assert found["cut"].startswith("file-rejected")
