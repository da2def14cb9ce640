"""Kill builds two hundred times: ``python -m tests.stress [--kills 200] [--cold 10] …``.

A small model, from an empty cache each time, for targets of one format after the other. The
toolchain is imported once for all builds of a format (`tests.stress.preloaded`); of Core ML and
ExecuTorch together, some builds are started as a user starts them. Instants are the same ones for
the same seed. After each kill the files are looked at and the build is resumed. Ends with 1 if
anything was damaged, or anything else was given.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from tests.stress import preloaded
from tests.stress.killing import Case, prepared, start_command, trial, undisturbed
from tests.stress.tables import by_step, by_victim, late

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
FORMATS = {
    "coreml": ("apple-legacy", "apple-ane"),
    "executorch": ("android-xnnpack",),
    "litert": ("android-gpu", "android-xnnpack-litert"),
    "coreai": ("apple-coreai",),
}
COLD_TARGETS = ("apple-legacy", "android-xnnpack")
SETS = ("calibration", "evaluation")
KILLED = ("command", "template", "worker")
INTERRUPTED = ("interrupt",)


def write_model(folder):
    """Write a small model with its sets."""
    folder.mkdir()
    (folder / "net.py").write_text(MODEL)
    for seed, name in enumerate(SETS):
        values = np.random.default_rng(seed).normal(size=(32, 3, 8, 8))
        np.savez(folder / f"{name}.npz", image=values.astype(np.float32))


def case_of(targets, folder, model):
    """Give the build of the small model for targets, in a folder of its own."""
    folder.mkdir()
    asked = [part for target in targets for part in ("--target", target)]
    sets = [part for name in SETS for part in (f"--{name}", f"{name}.npz")]
    return Case(("build", "net.py:build", *asked, *sets), folder, model)


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
        say(
            f"{len(found)}/{count} {result.victim} at {result.instant_s:.2f} s"
            f" ({', '.join(result.running)}), all ended after {result.end_s:.2f} s,"
            f" {result.kept_steps} steps kept, resumed: {state}"
        )
    return found


def of_format(name, folder, model, counts, seed, say, send):
    """Import a toolchain, and kill builds that are copies of this process."""
    from mobilesdk.pipeline.job import TaskKind
    from mobilesdk.pipeline.preloading import preloads

    started = case_of(FORMATS[name], folder, model)
    real = undisturbed(started)
    preloaded.preload(preloads(TaskKind.EXPORT, name))
    case = replace(started, command=preloaded.start_command)
    undisturbed(case)  # what is imported in the steps themselves is read from the disk once
    before = undisturbed(case)
    case = prepared(case)
    say(f"{name}: undisturbed {before.seconds:.1f} s, and {real.seconds:.1f} s with its imports")
    # The manifest tells of what was imported when the model was read, and that is more in copies.
    if before.variants_sha256 != real.variants_sha256:
        raise AssertionError(f"{name}: copies give other bytes than new processes")
    for count, victims in zip(counts, (KILLED, INTERRUPTED), strict=True):
        send(killed(case, before, count, seed, victims, say))


def in_process(function, *arguments):
    """Run a function in a copy of this process; give the lists that it sends."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(*arguments, theirs.send))
    process.start()
    theirs.close()
    found = []
    with contextlib.suppress(EOFError):
        while True:
            found += ours.recv()
    process.join()
    if process.exitcode != 0:
        sys.exit(f"{arguments[0]} ended with {process.exitcode}")
    return found


def shares(total, count):
    """Share a number out, as evenly as it goes."""
    return [total // count + (place < total % count) for place in range(count)]


def cold(folder, model, count, seed, say):
    """Kill builds that are started as a user starts them, half of them with Ctrl-C."""
    case = replace(case_of(COLD_TARGETS, folder, model), command=start_command)
    before = undisturbed(case)
    say(f"started anew for {' and '.join(COLD_TARGETS)}: undisturbed {before.seconds:.1f} s")
    found = []
    for part, victims in zip(shares(count, 2), (KILLED, INTERRUPTED), strict=True):
        found += killed(case, before, part, seed, victims, say)
    return found


def parsed():
    parser = argparse.ArgumentParser(description="Kill builds at random instants; resume them.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=20)
    parser.add_argument("--cold", type=int, default=20, help="of builds that import everything")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    preloaded.require_mark()
    arguments = parsed()
    started_s = time.monotonic()
    console = Console(highlight=False, width=120)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    formats = arguments.formats
    trials = []
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(name) / "model"
        write_model(model)
        kills, interrupts = (
            shares(number, len(formats)) for number in (arguments.kills, arguments.interrupts)
        )
        for each, counts in zip(formats, zip(kills, interrupts, strict=True), strict=True):
            trials += in_process(
                of_format, each, folder / each, model, counts, arguments.seed, console.print
            )
        started_anew = cold(folder / "cold", model, arguments.cold, arguments.seed, console.print)
    for title, group in (("Copies", trials), ("Started anew", started_anew)):
        console.print(by_victim(title, group))
        console.print(by_step(title, group))
    trials += started_anew
    console.print(f"{len(trials)} trials in {(time.monotonic() - started_s) / 60:.0f} min")
    console.print(late(trials))
    sys.exit(1 if any(each.faults for each in trials) else 0)


if __name__ == "__main__":
    main()
