"""How fast ML Programs run in the reference executor, beside torch eager on the same program.

    python benchmarks/executor_speed.py [FOLDER]

Each model is prepared (batch norms folded) and converted to a float16 package once; FOLDER keeps
both. Every figure comes from a process with one thread, and is the median processor time; torch and
the precisions of the executor run in turn in one process, once with its settings as they are and
once with ``low_memory``, which changes the allocator for torch too. Loading, and the first run,
which decodes the weights, stand apart. Memory is the peak of loading with ``low_memory`` and
running a package as a multiple of the weights in float32, of the executor and of torch (with its
weights); the program is run once before, so that code and kernels of torch count for neither. Where
an allocator puts things varies from process to process: the lowest and highest of a few are given.
What lies beyond its limit ends the benchmark with an error.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from mobilesdk.coreml.precision import Mode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
MODELS = ("efficientnet_lite0", "minilm")
SPEED_LIMITS: dict[Mode, float] = {"float32": 1.5, "declared": 2.0}
MEMORY_LIMIT = 2.0
ROUNDS = 25
MEMORY_PROCESSES = 5


def spec(name: str) -> Any:
    return import_module(f"examples.{name}").build()


def convert(name: str, folder: Path) -> None:
    """Write ``program.pt2`` and ``model.mlpackage``."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # else importing it crashes
    import coremltools as ct

    from mobilesdk.graph.prepare import prepare
    from mobilesdk.graph.program import save_program

    built = spec(name)
    program = prepare(torch.export.export(built.module, built.example_inputs))
    save_program(program, folder / "program.pt2")
    model = ct.convert(
        program.run_decompositions({}),
        minimum_deployment_target=ct.target.iOS17,
        skip_model_load=True,
    )
    model.save(str(folder / "model.mlpackage"))


def measure(name: str, folder: Path, *, low_memory: bool = False) -> dict[str, Any]:
    """Give load, first run and median run in seconds, by precision."""
    from mobilesdk.coreml import load
    from mobilesdk.graph.program import graph_module, load_program

    inputs = spec(name).example_inputs
    module = graph_module(load_program(folder / "program.pt2"))
    runs: dict[str, Callable[[], Any]] = {"torch": lambda: module(*inputs)}
    figures: dict[str, Any] = {"load": {}, "first": {}}
    for precision in SPEED_LIMITS:
        started = time.process_time()
        model = load(folder / "model.mlpackage", precision=precision, low_memory=low_memory)
        loaded = time.process_time()
        given = dict(zip(model.input_names, (item.numpy() for item in inputs), strict=True))
        model.predict(given)
        figures["load"][precision] = loaded - started
        figures["first"][precision] = time.process_time() - loaded
        runs[precision] = lambda model=model, given=given: model.predict(given)
    return figures | {"run": interleaved(runs)}


def measure_low_memory(name: str, folder: Path) -> dict[str, Any]:
    """Give the same with the settings that the memory below is measured with."""
    return measure(name, folder, low_memory=True)


def interleaved(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Give the median processor time of each, run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, run in runs.items():
                started = time.process_time()
                run()
                seconds[name].append(time.process_time() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def memory(_name: str, folder: Path) -> int:
    """Give the peak of loading and running a package, in bytes; no model is made beside it."""
    from mobilesdk.coreml import load

    def run() -> None:
        model = load(folder / "model.mlpackage", low_memory=True)
        given = {item.name: np.ones(item.shape, item.dtype) for item in model.inputs}
        for _ in range(3):
            model.predict(given)

    return peak_bytes(run)


def torch_memory(name: str, folder: Path) -> int:
    """Give the peak of running the program with torch, its weights counted once, in bytes."""
    from mobilesdk.graph.program import graph_module, load_program

    inputs = spec(name).example_inputs
    module = graph_module(load_program(folder / "program.pt2"))
    for values in module.state_dict().values():
        values.sum()  # so that none is read from disk later

    def run() -> None:
        with torch.inference_mode():
            for _ in range(3):
                module(*inputs)

    return peak_bytes(run) + weight_bytes(name, folder)


def weight_bytes(name: str, _folder: Path) -> int:
    """Give the size of the weights in float32."""
    return sum(item.numel() * 4 for item in spec(name).module.state_dict().values())


def peak_bytes(run: Callable[[], None]) -> int:
    """Give how far the resident memory rises in a second run, on Linux."""
    from mobilesdk.coreml.memory import give_back

    run()
    gc.collect()
    give_back()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = status_kib("VmRSS")
    run()
    return (status_kib("VmHWM") - before) * 1024


def status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


PARTS = {
    part.__name__: part
    for part in (convert, measure, measure_low_memory, memory, torch_memory, weight_bytes)
}


def apart(part: str, name: str, folder: Path) -> Any:
    """Run one part in a process of its own; give what it found."""
    command = [sys.executable, "-W", "ignore", __file__, part, name, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main(folder: Path) -> None:
    beyond: list[str] = []
    columns = ("model", "what", "torch ms", "executor ms", "ratio", "limit", "load ms", "first ms")
    table = Table(*columns)
    for name in MODELS:
        place = folder / name
        if not (place / "model.mlpackage").exists():
            place.mkdir(parents=True, exist_ok=True)
            apart("convert", name, place)
        for part, mode in (("measure", ""), ("measure_low_memory", ", low memory")):
            found = apart(part, name, place)
            base = found["run"]["torch"]
            for precision, limit in SPEED_LIMITS.items():
                run = found["run"][precision]
                if run > limit * base:
                    beyond.append(f"{name}, {precision}{mode}: {run / base:.2f} > {limit}")
                times = (found["load"][precision], found["first"][precision])
                table.add_row(
                    name, f"{precision}{mode}", f"{base * 1e3:.1f}", f"{run * 1e3:.1f}",
                    f"{run / base:.2f}", f"{limit}", *(f"{item * 1e3:.0f}" for item in times),
                )  # fmt: skip
        weights = apart("weight_bytes", name, place)
        for what, part in (("peak / weights", "memory"), ("torch's peak", "torch_memory")):
            peaks = [apart(part, name, place) / weights for _ in range(MEMORY_PROCESSES)]
            limit = f"{MEMORY_LIMIT}" if part == "memory" else ""
            if part == "memory" and max(peaks) > MEMORY_LIMIT:
                beyond.append(f"{name}, {what}: {max(peaks):.2f} > {MEMORY_LIMIT}")
            table.add_row(name, what, "", "", f"{min(peaks):.2f}–{max(peaks):.2f}", limit)
    Console(width=110).print(table)
    if beyond:
        sys.exit("Beyond the limits:\n" + "\n".join(beyond))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        torch.set_num_threads(1)
        print(json.dumps(PARTS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))))
    else:
        main(Path(sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp()))
