"""Write SavedModels and read them, in a process of its own.

``python -m tests.frontends.saved_model_worker FOLDER NAME…`` writes each model into a folder of its
name, reads it into ``NAME-read``, and prints what came of it as a line of JSON. A name that begins
with ``wrong-`` is read with a rule for an op that is wrong, with ``stated-`` with a contract.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from mobilesdk.core.contract import Contract
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.frontends.saved_model import PLUGIN
from mobilesdk.graph.saved_model import ops
from mobilesdk.graph.saved_model.ops.registry import Op
from tests.frontends.saved_models import GOOD, REFUSED, import_tensorflow

CONTRACT = {
    "inputs": [{"name": "x", "dtype": "float32", "shape": (1, 4)}],
    "outputs": [{"name": "y", "dtype": "float32", "shape": (1, 4), "kind": "other"}],
}


def main(folder: Path, names: list[str]) -> None:
    """Write, read, tell."""
    import_tensorflow()
    seen = {name: told(folder, name) for name in names}
    print("RESULT" + json.dumps(seen))


def told(folder: Path, name: str) -> dict[str, str | int]:
    wrong, stated = name.startswith("wrong-"), name.startswith("stated-")
    write = (GOOD | REFUSED)[name.rpartition("-")[2]]
    reference = write(folder / name)
    output = folder / f"{name}-read"
    output.mkdir()
    contract = Contract.model_validate(CONTRACT) if stated else None
    rule = Op(lambda _node, x: torch.where(x > 0, x, 0.01 * x))
    with pytest.MonkeyPatch.context() as patch:
        if wrong:
            patch.setitem(ops.OPS, "Relu", rule)
        try:
            PLUGIN.read(
                ModelSource(reference=reference, contract=contract), StepContext(output=output)
            )
        except MobileSDKError as error:
            return {"code": error.code, "text": str(error), "exit_code": error.exit_code}
    return {}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
