"""Run in a process of its own: samples, expected outputs and packages of some networks.

The arguments are a folder, the networks, and names of packages if not all are wanted. Writes
``<network>/reference.json`` and ``<network>/convert.json`` beside what the stages write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.parity import packages, reference
from benchmarks.parity.cases import CASES


def main(folder: Path, arguments: list[str]) -> None:
    wanted = [each for each in arguments if each in set(packages.names())]
    for name in (each for each in arguments if each not in wanted):
        place = folder / name
        floors = reference.write(CASES[name], place)
        (place / "reference.json").write_text(json.dumps(floors))
        faults = packages.write(CASES[name], place, wanted)
        (place / "convert.json").write_text(json.dumps(faults))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
