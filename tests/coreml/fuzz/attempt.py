"""Everything that reads a package, on one that may be damaged, with limits and a watch on files."""

from __future__ import annotations

import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.coreml import RunLimits, load
from mobilesdk.coreml.executor import Executable
from mobilesdk.coreml.program import TensorType
from mobilesdk.errors import MobileSDKError
from mobilesdk.runtimes.coreml import PLUGIN
from tests.coreml.fuzz.mutate import Files

LIMITS = RunLimits(elements=1 << 14, operations=500, memory_bytes=1 << 20)
TIME_LIMIT_S = 20
MEMORY_BYTES = 2 << 30
FREE_AXIS = 3
EXTREMES = {
    "float32": (np.inf, -1.0, 65504.0, np.nan, -65504.0, 0.0, 6e-8, -np.inf),
    "int32": (-(2**31), 2**31 - 1, 0, -1),
    "uint8": (255, 0),
}
# Events of the interpreter that reading a package has no reason for.
FORBIDDEN = ("exec", "compile", "marshal", "os.system", "os.exec", "os.fork", "os.remove",
             "os.rename", "pickle", "socket", "subprocess", "shutil", "urllib")  # fmt: skip


class TookTooLong(BaseException):
    """A package was not done within the limit; no handler of errors catches this."""


@dataclass
class Outcomes:
    """How packages ended: how many by stage and error, and what may not happen."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Watch:
    """Notes what is opened outside one folder, or called, while it is on."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open" and not _is_inside(arguments[0], self.folder):
            self.seen.append(f"{event} {arguments[0]!r}")
        elif event.split(".")[0] in FORBIDDEN or event in FORBIDDEN:
            self.seen.append(f"{event} {arguments!r}"[:200])

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        """Watch while a package in a folder is read."""
        self.seen, self.folder = [], folder
        try:
            yield
        finally:
            self.folder = None


def limit_process() -> None:
    """Limit the memory of this process to what it has and so much more, and let time run out."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, _time_is_up)


def write_files(folder: Path, files: Files) -> None:
    """Write a package over the one before."""
    data = folder / "Data" / "com.apple.CoreML"
    (data / "weights").mkdir(parents=True, exist_ok=True)
    (folder / "Manifest.json").write_bytes(files.manifest)
    (data / "model.mlmodel").write_bytes(files.model)
    (data / "weights" / "weight.bin").write_bytes(files.weights)


def attempt(folder: Path, name: str, outcomes: Outcomes, watch: Watch) -> None:
    """Inspect, load and run a package; count how each ended."""
    for stage in (_inspect, _run, _run_on_extremes):
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT_S)
        try:
            with watch.over(folder):
                stage(folder)
            outcomes.counts[f"{stage.__name__[1:]}: done"] += 1
        except MobileSDKError as error:
            outcomes.counts[f"{stage.__name__[1:]}: {error.code}"] += 1
            if error.code == MobileSDKError.code:
                outcomes.findings.append(f"{name}: {error}")
        except (Exception, TookTooLong) as error:  # noqa: BLE001  # any is what is looked for
            trace = traceback.extract_tb(error.__traceback__)[-3:]
            where = ", ".join(f"{Path(item.filename).name}:{item.lineno}" for item in trace)
            outcomes.findings.append(f"{name}: {type(error).__name__}: {error} ({where})"[:400])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        outcomes.findings += [f"{name}: {event}" for event in watch.seen]


def _inspect(folder: Path) -> None:
    PLUGIN.inspect(folder)


def _run(folder: Path) -> None:
    model = load(folder, limits=LIMITS)
    model.predict(arguments(model), states=model.new_states())


def _run_on_extremes(folder: Path) -> None:
    model = load(folder, limits=LIMITS)
    given = {name: extreme(values) for name, values in arguments(model).items()}
    model.predict(given, states=model.new_states())


def extreme(values: NDArray[Any]) -> NDArray[Any]:
    """Give the ends of the type and what lies next to zero in turn, in place of values."""
    return np.resize(np.array(EXTREMES[values.dtype.name], values.dtype), values.shape)


def arguments(model: Executable) -> dict[str, Any]:
    """Give inputs of ones as the program declares them, small ones where axes are free."""
    given: dict[str, Any] = {}
    for feature in model.declared_inputs:
        if not isinstance(feature.type, TensorType) or feature.type.shape is None:
            given[feature.name] = np.ones(FREE_AXIS, np.float32)
            continue
        shape = [FREE_AXIS if size is None else size for size in feature.type.shape]
        if np.prod(shape, dtype=np.float64) > LIMITS.elements:
            shape = [1]
        dtype = np.float32 if feature.type.element.is_float else np.int32
        given[feature.name] = np.ones(shape, dtype)
    for feature in model.inputs:
        if feature.kind == "image" and np.prod(feature.shape, dtype=np.float64) < LIMITS.elements:
            colors = () if feature.color_layout == "grayscale" else (3,)
            given[feature.name] = np.ones((*feature.shape, *colors), np.uint8)
    return given


def _is_inside(path: object, folder: Path) -> bool:
    return isinstance(path, (str, Path)) and Path(path).is_relative_to(folder)


def _time_is_up(_signal: int, _frame: FrameType | None) -> None:
    raise TookTooLong(f"not done within {TIME_LIMIT_S} s")
