"""A build that is killed at some instant and then resumed: what it leaves, and what it gives."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.errors import MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.job import JOB_NAME
from mobilesdk.pipeline.recorded import check_records
from mobilesdk.pipeline.verification import check_files

MARK = "MOBILESDK_STRESS_TRIAL"
END_LIMIT_S = 2.0
"""Within which everything that a build has started must have ended."""
LATEST_END_S = 30.0


@dataclass(frozen=True)
class Case:
    """A build to kill.

    Attributes:
        arguments: Of ``mobilesdk``, without the output.
        folder: Where its cache and bundles go.
        working_folder: Where it runs.
        prepared: A cache to start from, in place of an empty one.
    """

    arguments: tuple[str, ...]
    folder: Path
    working_folder: Path
    prepared: Path | None = None

    @property
    def cache_home(self):
        return self.folder / "home"

    def empty(self):
        """Begin anew: no bundle, and the cache as it was."""
        for place in (self.cache_home, self.folder / "bundles"):
            shutil.rmtree(place, ignore_errors=True)
        (self.folder / "bundles").mkdir(parents=True)
        if self.prepared is not None:
            shutil.copytree(self.prepared, self.cache_home, copy_function=os.link)

    def start(self, mark):
        """Start the build in a session of its own."""
        output = self.folder / "bundles" / "bundle"
        line = [sys.executable, "-m", "mobilesdk", *self.arguments]
        with (self.folder / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                [*line, "--output", str(output), "--overwrite"],
                cwd=self.working_folder,
                env=os.environ | {"XDG_CACHE_HOME": str(self.cache_home), MARK: mark},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )


@dataclass(frozen=True)
class Undisturbed:
    """What the build gives when nobody kills it."""

    sha256: str
    exit_code: int
    seconds: float


@dataclass
class Trial:
    """One kill, and what was found afterwards; `faults` is empty if all was well."""

    number: int
    victim: str
    instant_s: float
    running: str = ""
    end_s: float = 0.0
    bundle_after: bool = False
    kept_steps: int = 0
    faults: list[str] = field(default_factory=list)


def undisturbed(case):
    """Build once from the beginning."""
    case.empty()
    started_s = time.monotonic()
    process = case.start("undisturbed")
    code = process.wait()
    if code not in (0, 1):
        raise AssertionError((case.folder / "stderr").read_text())
    seconds = time.monotonic() - started_s
    return Undisturbed(tree_hash(case.folder / "bundles" / "bundle"), code, seconds)


def trial(case, before, number, *, seed=0, victims=("command", "template", "worker")):
    """Kill one build and resume it; ``None`` if it ended before the instant.

    Args:
        case: The build.
        before: What it gives.
        number: Of the trial; with the seed it gives the instant and the victim.
        seed: Of all trials.
        victims: Of which one is ended; ``interrupt`` is Ctrl-C. If there is no template or no
            worker at the instant, it is the next one that there is.
    """
    chance = random.Random(f"{seed} {number}")
    found = Trial(number, chance.choice(victims), chance.random() * before.seconds)
    case.empty()
    mark = f"{os.getpid()}-{seed}-{number}"
    process = case.start(mark)
    wait_s = found.instant_s
    while not _ends_within(process, wait_s):
        found.running = _running(case)
        if _kill(process, mark, chance, found):
            _look_at_ends(process, mark, found)
            _look_at_files(case, found)
            _resume(case, before, mark, found)
            return found
        wait_s = 0.01
    return None


def _ends_within(process, seconds):
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process, mark, chance, found):
    """End a process of the kind that is to be ended; tell whether there was one."""
    pids = [process.pid]
    if found.victim in ("template", "worker"):
        pids = templates = _templates(process.pid, mark)
        if found.victim == "worker":
            pids = [pid for pid in marked(mark) if _parent(pid) in templates]
    if not pids:
        return False
    number = signal.SIGINT if found.victim == "interrupt" else signal.SIGKILL
    try:
        os.kill(chance.choice(pids), number)
    except ProcessLookupError:
        return False
    return True


def _look_at_ends(process, mark, found):
    """Wait for the command, and then for all that it started."""
    started_s = time.monotonic()
    code = process.wait()
    expected = {"command": {-signal.SIGKILL}, "interrupt": {128 + signal.SIGINT}}
    if code not in expected.get(found.victim, {0, 1, 6}):
        found.faults.append(f"exit code {code}")
    if found.victim not in expected:
        started_s = time.monotonic()  # it went on, as it should
    pause = threading.Event()
    while marked(mark) and time.monotonic() - started_s < LATEST_END_S:
        pause.wait(0.01)
    found.end_s = time.monotonic() - started_s
    if marked(mark):
        found.faults.append("processes are left")


def _look_at_files(case, found):
    """Look whether there is a damaged bundle, or a damaged entry in the cache."""
    cache = Cache(case.cache_home / "mobilesdk")
    entries = cache.entries()
    found.kept_steps = len(entries)
    damaged = [entry.key for entry in entries if not cache.check(entry.key)]
    found.faults += [f"cache entry {key[:12]} is damaged" for key in damaged]
    bundle = case.folder / "bundles" / "bundle"
    found.bundle_after = bundle.exists()
    if found.bundle_after:
        try:
            manifest = read_manifest(bundle)
            check_files(bundle, manifest)
            check_claims(manifest)
            check_records(bundle, manifest)
        except MobileSDKError as error:
            found.faults.append(f"corrupt bundle: {error.message}")


def _resume(case, before, mark, found):
    code = case.start(f"{mark}-resumed").wait()
    if code != before.exit_code:
        words = (case.folder / "stderr").read_text(errors="replace")
        found.faults.append(f"the resumed build ended with {code}: {words[-2000:]}")
    elif tree_hash(case.folder / "bundles" / "bundle") != before.sha256:
        found.faults.append("the resumed build gave other bytes")


def _running(case):
    """Name the steps that are being made, by the jobs that lie in the cache."""
    kinds = []
    for place in (case.cache_home / "mobilesdk" / "working").glob(f"*/{JOB_NAME}"):
        try:
            kinds.append(json.loads(place.read_bytes())["kind"])
        except (OSError, ValueError):
            continue  # it is being written, or has just gone
    return ", ".join(sorted(kinds))


def marked(mark):
    """List the living processes that a trial has started: they have its mark from each other."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                state = _stat(int(entry.name))[0]
            except OSError:
                continue
            if f"{MARK}={mark}".encode() in variables and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def _templates(command, mark):
    """List the templates of a command that have begun to be one."""
    return [
        pid for pid in marked(mark) if _parent(pid) == command and b"forking" in _command_line(pid)
    ]


def _parent(pid):
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def _command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
