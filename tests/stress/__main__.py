"""Kill a build two hundred times: ``python -m tests.stress [--kills 200] [--interrupts 20]``.

A small model for Core ML and ExecuTorch, from an empty cache each time. The instants are drawn over
the length of an undisturbed build, the same ones for the same seed. After each kill the files are
looked at and the build is resumed. Ends with 1 if anything was damaged, or anything else was given.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.stress.killing import END_LIMIT_S, Case, trial, undisturbed

MODEL = """
import torch
from mobilesdk import ArrayInput, ModelSpec

def build():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU6(), torch.nn.Flatten(), torch.nn.Linear(288, 4)
    )
    return ModelSpec(
        module.eval(), (torch.zeros(1, 3, 8, 8),), inputs={"image": ArrayInput()}
    )
"""
TARGETS = ("apple-legacy", "android-xnnpack")
SETS = ("calibration", "evaluation")


def small_model(folder):
    """Write a small model with its sets; give the build of it."""
    (folder / "net.py").write_text(MODEL)
    for seed, name in enumerate(SETS):
        values = np.random.default_rng(seed).normal(size=(32, 3, 8, 8))
        np.savez(folder / f"{name}.npz", image=values.astype(np.float32))
    targets = [part for target in TARGETS for part in ("--target", target)]
    sets = [part for name in SETS for part in (f"--{name}", f"{name}.npz")]
    return Case(("build", "net.py:build", *targets, *sets), folder, folder)


def killed(case, before, count, seed, victims, say):
    """Give that many trials of which the kill came before the end."""
    found = []
    number = 0
    while len(found) < count:
        result = trial(case, before, number, seed=seed, victims=victims)
        number += 1
        if result is None:
            continue
        found.append(result)
        state = "; ".join(result.faults) or "same bytes"
        where = result.running or "no step"
        say(
            f"{len(found)}/{count} {result.victim} at {result.instant_s:.2f} s ({where}), all ended"
            f" after {result.end_s:.2f} s, {result.kept_steps} steps kept, resumed: {state}"
        )
    return found


def as_table(trials):
    """Count the trials by what was ended."""
    table = Table(title="Killed and resumed", title_justify="left")
    table.add_column("ended")
    for column in (
        *("kills", "during a step", "bundle left", "corrupt bundles", "other faults"),
        *("median end s", "longest end s"),
    ):
        table.add_column(column, justify="right")
    groups = defaultdict(list)
    for each in trials:
        groups[each.victim].append(each)
        groups["all"].append(each)
    for victim in sorted(groups, key=lambda name: (name == "all", name)):
        group = groups[victim]
        faults = [fault for each in group for fault in each.faults]
        corrupt = sum("corrupt bundle" in fault for fault in faults)
        ends = sorted(each.end_s for each in group)
        cells = [len(group), sum(bool(each.running) for each in group)]
        cells += [sum(each.bundle_after for each in group), corrupt, len(faults) - corrupt]
        times = (f"{ends[len(ends) // 2]:.2f}", f"{ends[-1]:.2f}")
        table.add_row(victim, *map(str, cells), *times)
    return table


def main():
    parser = argparse.ArgumentParser(description="Kill builds at random instants; resume them.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started_s = time.monotonic()
    console = Console(highlight=False, width=120)
    with tempfile.TemporaryDirectory() as folder:
        case = small_model(Path(folder))
        undisturbed(case)  # reads what the disk has to give
        before = undisturbed(case)
        console.print(f"undisturbed: {before.seconds:.1f} s, load {os.getloadavg()[0]:.1f}")
        trials = []
        for count, victims in (
            (arguments.kills, ("command", "template", "worker")),
            (arguments.interrupts, ("interrupt",)),
        ):
            trials += killed(case, before, count, arguments.seed, victims, console.print)
    console.print(as_table(trials))
    console.print(f"{len(trials)} trials in {(time.monotonic() - started_s) / 60:.0f} min")
    late = [each for each in trials if each.end_s > END_LIMIT_S]
    console.print(f"{len(late)} ended later than {END_LIMIT_S:.0f} s")
    sys.exit(1 if any(each.faults for each in trials) else 0)


if __name__ == "__main__":
    main()
