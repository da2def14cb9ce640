"""Packages that coremltools writes, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

# coremltools beside TensorFlow and triton ends in a segmentation fault. It collects garbage after
# each conversion: what is imported is left out of that.
_START = (
    "import gc, runpy, sys; sys.modules['tensorflow'] = None; import coremltools; gc.freeze(); "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)


def write_packages(script: str, folder: Path) -> Path:
    """Run a script of this folder, which writes packages into another; give that."""
    path = Path(__file__).with_name(script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _START, str(path), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
