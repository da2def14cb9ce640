"""Run in a process of its own, without coremltools: some networks in Apple's Core AI.

The arguments are a folder that `convert_worker` has written into, and networks of it. Writes
``<network>/coreai.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.parity.stages import apple


def main(folder: Path, networks: list[str]) -> None:
    for name in networks:
        (folder / name / "coreai.json").write_text(json.dumps(apple(name, folder / name)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
