"""Kill builds two hundred times, and fill their disks: ``python -m tests.stress [--kills 200] …``.

A small model, for targets of one format after the other. The toolchain is imported once for all
builds of a format (`tests.stress.preloaded`); of Core ML and ExecuTorch together, some builds are
started as a user starts them. Instants are drawn from a seed. After each kill the files are looked
at and the build is resumed. Ends with 1 if anything was damaged, or anything else was given.

Copies of this process have imported this program, so that its files count as files of the model:
leave them alone while it runs.
"""

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.preloading import preloads
from mobilesdk.plugins.contract import PROGRAM_PRELOADS
from tests.conftest import STAND_INS, CommandLine, build_arguments
from tests.stress import disks, preloaded
from tests.stress.killing import Case, prepared, start_command, trial, undisturbed
from tests.stress.tables import by_disk, by_step, by_victim, late

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
PACKAGES = ("data", "compressors", "frontends", "graph", "verify", "report")
READERS = {"coreml": ("coreml",), "executorch": ("flatbuffers",), "litert": ("flatbuffers",)}
COLD_TARGETS = ("apple-legacy", "android-xnnpack")
SETS = ("calibration", "evaluation")
KILLED = ("command", "template", "worker")
INTERRUPTED = ("interrupt",)
STORES = ("file", "folder")


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


def packages(name):
    """Give the packages of mobilesdk that a build for a format needs."""
    return (*PACKAGES, f"lowering.{name}", *READERS.get(name, ()))


def of_format(name, folder, model, counts, seed, say, send):
    """Import a toolchain, and kill builds that are copies of this process."""
    started = case_of(FORMATS[name], folder, model)
    real = undisturbed(started)
    preloaded.preload((*PROGRAM_PRELOADS, *preloads(TaskKind.EXPORT, name)), packages(name))
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


def on_disks(folder, model, limits, say, send):
    """Fill the disks of a build with stand-ins for the toolchains, and of a real one."""
    preloaded.preload((*PROGRAM_PRELOADS, *preloads(TaskKind.EXPORT, "coreml")), packages("coreml"))
    for case, count in (
        (stand_in_case(folder), limits),
        (case_of(FORMATS["coreml"], folder / "coreml", model), limits // 10),
    ):
        if count == 0:
            continue
        case = replace(case, command=preloaded.start_command)
        undisturbed(case)
        send([*disks.filled(case, undisturbed(case), count, say)])


def stand_in_case(folder):
    """Give the build of a file and a folder."""
    folder.mkdir()
    for seed, name in enumerate(SETS):
        values = np.random.default_rng(seed).normal(size=(40, 4)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=values)
    targets = [CommandLine(folder, None, None).target(name, store=name) for name in STORES]
    arguments = build_arguments(folder, targets, "")[:-2]
    return Case(tuple(map(str, arguments)), folder / "stand_ins", STAND_INS)


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


def hear_interrupts():
    """Undo what a shell does to its background jobs, which pass it on to all they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def parsed():
    parser = argparse.ArgumentParser(description="Kill builds at random instants; resume them.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--interrupts", type=int, default=20)
    parser.add_argument("--cold", type=int, default=20, help="of builds that import everything")
    parser.add_argument("--disks", type=int, default=100, help="sizes of each full disk")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    preloaded.require_mark()
    hear_interrupts()
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
            if any(counts):
                trials += in_process(
                    of_format, each, folder / each, model, counts, arguments.seed, console.print
                )
        started_anew, filled = [], []
        if arguments.cold:
            started_anew = cold(
                folder / "cold", model, arguments.cold, arguments.seed, console.print
            )
        if arguments.disks:
            filled = in_process(on_disks, folder / "disks", model, arguments.disks, console.print)
    for title, group in (("Copies", trials), ("Started anew", started_anew)):
        console.print(by_victim(title, group))
        console.print(by_step(title, group))
    trials += started_anew
    console.print(by_disk(filled))
    console.print(f"{len(trials)} trials in {(time.monotonic() - started_s) / 60:.0f} min")
    console.print(late(trials))
    sys.exit(1 if any(each.faults for each in (*trials, *filled)) else 0)


if __name__ == "__main__":
    main()
