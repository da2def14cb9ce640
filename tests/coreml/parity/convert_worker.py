"""Run in a process of its own: samples, expected outputs and packages of some networks.

The arguments are a folder and the networks. Writes ``<network>/reference.json`` and
``<network>/convert.json`` beside what the stages write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.parity.stages import STAGES


def main(folder: Path, networks: list[str]) -> None:
    for name in networks:
        for stage in ("reference", "convert"):
            found = STAGES[stage](name, folder / name)
            (folder / name / f"{stage}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
