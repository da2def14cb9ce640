"""Damage packages and read them; exit code 1 if one did what it may not.

``python -m tests.coreml.fuzz [--first N] [--count N]``: a number always makes the same package.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.fx.experimental.symbolic_shapes  # torch imports it late, on its way to some errors

from tests.coreml.fuzz.attempt import Outcomes, Watch, attempt, limit_process, write_files
from tests.coreml.fuzz.mutate import Mutator
from tests.coreml.fuzz.seeds import all_seeds

PER_PROCESS = 5000


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.coreml.fuzz")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--here", action="store_true", help="in this process; a crash ends it")
    arguments = parser.parse_args()
    last = arguments.first + arguments.count
    if arguments.here:
        return run(range(arguments.first, last))
    failed = 0
    for first in range(arguments.first, last, PER_PROCESS):
        count = min(PER_PROCESS, last - first)
        command = [sys.executable, "-m", __package__, "--here"]
        command += ["--first", str(first), "--count", str(count)]
        code = subprocess.run(command, check=False).returncode
        if code not in (0, 1):
            print(f"CRASH: a process ended with {code} in {first} … {first + count - 1}")
        failed += code != 0
    return 1 if failed else 0


def run(numbers: range) -> int:
    """Read packages in this process; print how they ended."""
    torch.set_num_threads(1)
    outcomes, watch = Outcomes(), Watch()
    with tempfile.TemporaryDirectory() as root:
        seeds = all_seeds(Path(root) / "seeds")
        package = Path(root) / "package"
        sound = Outcomes()
        for index, files in enumerate(seeds):  # also brings in all that is imported late
            write_files(package, files)
            attempt(package, f"seed {index}", Outcomes(), watch)
            attempt(package, f"seed {index}", sound, watch)
        sound.findings += [
            f"a seed ended with {key}"
            for key in sound.counts
            if "done" not in key and "extremes" not in key
        ]
        print(f"{len(seeds)} seeds: {dict(sorted(sound.counts.items()))}")
        limit_process()
        for number in numbers:
            mutator = Mutator(number)
            write_files(package, mutator.damage(mutator.seed(seeds)))
            attempt(package, str(number), outcomes, watch)
    print(f"{numbers.start} … {numbers.stop - 1}: {dict(sorted(outcomes.counts.items()))}")
    for finding in sound.findings + outcomes.findings:
        print(f"FINDING {finding}", flush=True)
    return 1 if sound.findings or outcomes.findings else 0


if __name__ == "__main__":
    sys.exit(main())
