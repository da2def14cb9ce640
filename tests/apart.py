"""Run code in a process of its own: toolchains must not meet in that of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_MARK = "RESULT"


def result_of(*command: object) -> str:
    """Run Python in the folder of the repository; it must exit with 0.

    Args:
        command: What stands behind ``python``.

    Returns:
        What it printed behind the word ``RESULT``: toolchains print before it.
    """
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=_ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.partition(_MARK)[2]
