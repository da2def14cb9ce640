"""Bundles of all three formats are the same bytes wherever and whenever they are built."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mobilesdk.bundle.canonical import files_below, sha256_file

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
# Whatever is imported counts as what a model is made from, so both builds import it.
ANOTHER_DAY = """
import os, time
shift = int(os.environ["SHIFT_DAYS"]) * 86400
for name in ("time", "localtime", "gmtime", "strftime"):
    def later(*arguments, real=getattr(time, name), name=name, now=time.time):
        if name == "time":
            return now() + shift
        if name == "strftime":
            return real(arguments[0], arguments[1] if len(arguments) > 1 else time.gmtime())
        return real(arguments[0] if arguments and arguments[0] is not None else now() + shift)
    setattr(time, name, later)
"""
TARGETS = ("apple-ane", "android-xnnpack", "android-xnnpack-litert")


def build(folder, seed, **environment):
    folder.mkdir()
    (folder / "net.py").write_text(MODEL)
    for place, name in enumerate(("calibration", "evaluation")):
        values = np.random.default_rng(place).normal(size=(32, 1, 3, 8, 8))
        np.savez(folder / f"{name}.npz", image=values[:, 0].astype(np.float32))
    targets = [part for target in TARGETS for part in ("--target", target)]
    sets = [part for name in ("calibration", "evaluation") for part in (f"--{name}", f"{name}.npz")]
    process = subprocess.run(
        [
            *(sys.executable, "-m", "mobilesdk", "build", "net.py:build"),
            *targets,
            *sets,
            *("--layers", "2", "--output", "bundle"),
        ],
        cwd=folder,
        env=os.environ
        | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONHASHSEED": seed}
        | environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode in (0, 1), process.stderr
    bundle = folder / "bundle"
    return {f.relative_to(bundle).as_posix(): sha256_file(f) for f in files_below(bundle)}


@pytest.mark.slow
def test_another_folder_cache_day_and_hash_seed_give_the_same_bytes(tmp_path):
    clock = tmp_path / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(ANOTHER_DAY)
    one = build(tmp_path / "one", "1", PYTHONPATH=str(clock), SHIFT_DAYS="0")
    two = build(tmp_path / "another", "2", PYTHONPATH=str(clock), SHIFT_DAYS="400")
    assert {name: digest for name, digest in two.items() if one.get(name) != digest} == {}
    assert one == two
    assert {name.split("/")[1] for name in one if name.startswith("variants")} == set(TARGETS)
    assert {name.split("/")[1] for name in one if name.endswith("layers.json")} == set(TARGETS)
