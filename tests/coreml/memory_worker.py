"""Run in a process of its own: how far the resident memory rises when a package is loaded and run.

Arguments: the package, and ``run`` or ``keep`` (which keeps every result). The package is run and
dropped before, so that torch's code and kernels do not count. Prints the rise in bytes.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobilesdk.coreml import load
from mobilesdk.coreml.memory import give_back

RUNS = 3


def use(path: Path, *, keep: bool) -> list[Any]:
    model = load(path, low_memory=True)
    given = {item.name: np.ones(item.shape, np.float32) for item in model.inputs}
    run = model.intermediates if keep else model.predict
    return [run(given) for _ in range(RUNS)]


def status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main(path: Path, *, keep: bool) -> None:
    torch.set_num_threads(1)
    use(path, keep=False)
    gc.collect()
    give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = status_kib("VmRSS")
    use(path, keep=keep)
    print((status_kib("VmHWM") - before) * 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), keep=sys.argv[2] == "keep")
