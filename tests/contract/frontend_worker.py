"""Read a model in a process of its own.

``python -m tests.contract.frontend_worker FRONTEND REFERENCE OUTPUT`` prints what the frontend
gives as a line of JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.plugins import discovery


def main(name: str, reference: str, output: str) -> None:
    """Read with a frontend."""
    source = ModelSource(reference=reference)
    model = discovery.frontend(name).read(source, StepContext(output=Path(output)))
    print("RESULT" + model.model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
