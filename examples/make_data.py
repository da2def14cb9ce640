"""Write the calibration and evaluation sets of all example models.

::

    python -m examples.make_data DIR

makes, from what installed packages carry and without the network,

    DIR/photos/{calibration,evaluation}/          for efficientnet_lite0.py
    DIR/sentences/{calibration,evaluation}.npz    for minilm.py
    DIR/two_inputs/{calibration,evaluation}.npz   for two_inputs.py
    DIR/decoder/{calibration,evaluation}.npz      for decoder.py
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

NAMES = ("photos", "sentences", "two_inputs", "decoder")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example sets.")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--only", choices=NAMES, help="write this one alone")
    arguments = parser.parse_args()
    for name in NAMES if arguments.only is None else (arguments.only,):
        importlib.import_module(f"examples.{name}").write(arguments.folder / name)
        print(arguments.folder / name)


if __name__ == "__main__":
    main()
