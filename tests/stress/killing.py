"""A build that is killed at some instant and then resumed: what it leaves, and what it gives."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.errors import MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.job import JOB_NAME
from mobilesdk.pipeline.recorded import check_records
from mobilesdk.pipeline.verification import check_files
from tests.stress.preloaded import MARK, as_mark

END_LIMIT_S = 2.0
"""Within which everything that a build has started must have ended."""
LATEST_END_S = 30.0
LOOK_S = 0.005
STARTING, BETWEEN, WRITING, ENDING = "start", "between steps", "write bundle", "end"
OTHER_PHASES = frozenset({STARTING, BETWEEN, WRITING, ENDING})


def start_command(arguments, *, cwd, env, stderr):
    """Start ``mobilesdk`` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "mobilesdk", *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )


@dataclass(frozen=True)
class Case:
    """A build to kill.

    Attributes:
        arguments: Of ``mobilesdk``, without the output.
        folder: Where its cache and bundles go.
        working_folder: Where it runs.
        prepared: A cache to start from, in place of an empty one.
        command: Starts the command: `start_command`, here or in `tests.stress.preloaded`.
        finished: Step in ``prepared`` → when it was finished, seconds since the epoch.
        on_disk: Which of ``cache``, ``bundle`` and ``temporary`` files lie on a disk of their own.
    """

    arguments: tuple[str, ...]
    folder: Path
    working_folder: Path
    prepared: Path | None = None
    command: Callable[..., Any] = start_command
    finished: Mapping[str, float] = field(default_factory=dict)
    on_disk: frozenset[str] = frozenset()

    @property
    def disk(self):
        return self.folder / "disk"

    @property
    def cache_home(self):
        return self._place("cache") / "home"

    @property
    def bundle(self):
        return self._place("bundle") / "bundles" / "bundle"

    @property
    def temporary(self):
        return self._place("temporary") / "temporary"

    def _place(self, part):
        return self.disk if part in self.on_disk else self.folder

    def empty(self, before_s=0.0):
        """Begin anew: no bundle, and the cache as it was.

        Args:
            before_s: Of ``finished`` steps, only those are there that were finished before.
        """
        for place in (self.cache_home, self.bundle.parent, self.temporary):
            shutil.rmtree(place, ignore_errors=True)
        self.bundle.parent.mkdir(parents=True)
        self.temporary.mkdir()
        if self.prepared is not None:
            late = {key for key, finished_s in self.finished.items() if finished_s >= before_s}
            shutil.copytree(self.prepared, self.cache_home, ignore=lambda _, names: late & {*names})

    def start(self, mark):
        """Start the build."""
        environment = {
            "XDG_CACHE_HOME": str(self.cache_home),
            "TMPDIR": str(self.temporary),
            MARK: as_mark(mark),
        }
        with (self.folder / "stderr").open("wb") as stderr:
            return self.command(
                [*self.arguments, "--output", str(self.bundle), "--overwrite"],
                cwd=self.working_folder,
                env=os.environ | environment,
                stderr=stderr,
            )

    def phases(self):
        """Tell what a build is at: its steps, by their names in the cache, or what it does else."""
        found, steps = {}, []
        working = self.cache_home / "mobilesdk" / "working"
        with contextlib.suppress(FileNotFoundError):  # it has just gone
            steps = [*working.iterdir()]
        for step in steps:
            try:
                job = json.loads((step / JOB_NAME).read_bytes())
            except (OSError, ValueError):
                continue  # it is being written, or has just gone
            name = step.name.rpartition("-")[0]
            found[name] = f"{job['kind']} {job['plugin']}".rstrip()
        if found:
            return found
        if [*self.bundle.parent.glob(".bundle.unfinished-*")]:
            return {WRITING: WRITING}
        if self.bundle.exists():
            return {ENDING: ENDING}
        started = (self.cache_home / "mobilesdk" / "steps").exists()
        return {BETWEEN: BETWEEN} if started else {STARTING: STARTING}


@dataclass(frozen=True)
class Phase:
    """A step, or what else a build is at.

    Attributes:
        started_s: When that was first seen, seconds since the epoch.
        seconds: How long it was seen.
    """

    started_s: float
    seconds: float = 0.0


@dataclass(frozen=True)
class Undisturbed:
    """What the build gives when nobody kills it.

    Attributes:
        phases: By their names in the cache; what is no step has its own.
    """

    sha256: str
    variants_sha256: str
    exit_code: int
    seconds: float
    phases: dict[str, Phase]


@dataclass
class Trial:
    """One kill, and what was found afterwards; `faults` is empty if all was well."""

    number: int
    victim: str
    aim: str
    instant_s: float = 0.0
    running: tuple[str, ...] = ()
    end_s: float = 0.0
    bundle_after: bool = False
    unfinished: int = 0
    temporary: int = 0
    kept_steps: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kinds(self):
        """The steps that were being made."""
        return [name for name in self.running if name not in OTHER_PHASES]


def undisturbed(case):
    """Build once from the beginning."""
    case.empty()
    started_s = looked_s = time.monotonic()
    phases = {}
    process = case.start("undisturbed")
    while not ends_within(process, LOOK_S):
        now_s = time.monotonic()
        for name in case.phases():
            phase = phases.get(name, Phase(time.time()))
            phases[name] = replace(phase, seconds=phase.seconds + now_s - looked_s)
        looked_s = now_s
    code = process.wait()
    if code not in (0, 1):
        raise AssertionError((case.folder / "stderr").read_text())
    seconds = time.monotonic() - started_s
    variants = tree_hash(case.bundle / "variants")
    return Undisturbed(tree_hash(case.bundle), variants, code, seconds, phases)


def trial(case, before, number, *, seed=0, victims=("command", "template", "worker")):
    """Kill one build and resume it; ``None`` if it ended before the instant.

    One instant in four is drawn over the length of the build, from its beginning. The others are
    drawn over a phase that was drawn before, so that short steps come up as often as long ones; if
    the cache of the undisturbed build is at hand, it begins with what was finished by then.

    Args:
        case: The build.
        before: What it gives.
        number: Of the trial; with the seed it gives the instant and the victim.
        seed: Of all trials.
        victims: Of which one is ended; ``interrupt`` is Ctrl-C. If there is no template or no
            worker at the instant, it is the next one that there is.
    """
    chance = random.Random(f"{seed} {number}")
    victim, fraction = chance.choice(victims), chance.random()
    aim = chance.choice(sorted(before.phases)) if number % 4 else ""
    found = Trial(number, victim, aim)
    phase = before.phases.get(aim, Phase(0.0, before.seconds))
    case.empty(phase.started_s)
    mark = f"{os.getpid()}-{seed}-{number}"
    started_s = time.monotonic()
    process = case.start(mark)
    wait_s = fraction * phase.seconds
    while aim and aim not in case.phases():
        if ends_within(process, LOOK_S):
            return None
    while not ends_within(process, wait_s):
        found.running = tuple(sorted(case.phases().values()))
        if _kill(process, mark, chance, found):
            found.instant_s = time.monotonic() - started_s
            if victim == "command" and process.wait() != -signal.SIGKILL:
                return None  # it had ended by itself, just before
            _look_at_ends(process, mark, found)
            _look_at_files(case, found)
            resume(case, before, f"{mark}-resumed", found)
            return found
        wait_s = LOOK_S
    return None


def prepared(case):
    """Give the case with the cache that a build has just left, to start from."""
    cache = case.folder / "prepared"
    shutil.copytree(case.cache_home, cache)
    home = cache / "mobilesdk"
    sealed = {place.parent.name: place for place in home.glob("steps/*/*/seal.json")}
    noted = {place.name: place for place in home.glob("references/*.json")}
    finished = {name: place.stat().st_mtime for name, place in (sealed | noted).items()}
    return replace(case, prepared=cache, finished=finished)


def ends_within(process, seconds):
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
            pids = _copies(templates, mark)
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
        pause.wait(LOOK_S)
    found.end_s = time.monotonic() - started_s
    if marked(mark):
        found.faults.append("processes are left")


def _look_at_files(case, found):
    """Look whether there is a damaged bundle, or a damaged entry in the cache."""
    found.kept_steps = look_at_cache(case, found)
    found.unfinished = len([*case.bundle.parent.glob(".*")])
    found.temporary = len([*case.temporary.iterdir()])
    found.bundle_after = case.bundle.exists()
    look_at_bundle(case, found)


def look_at_bundle(case, found):
    """Look whether a bundle, if there is one, is whole."""
    if case.bundle.exists():
        try:
            manifest = read_manifest(case.bundle)
            check_files(case.bundle, manifest)
            check_claims(manifest)
            check_records(case.bundle, manifest)
        except MobileSDKError as error:
            found.faults.append(f"corrupt bundle: {error.message}")


def look_at_cache(case, found):
    """Look at each finished step; give how many there are."""
    cache = Cache(case.cache_home / "mobilesdk")
    entries = cache.entries()
    damaged = [entry.key for entry in entries if not cache.check(entry.key)]
    found.faults += [f"cache entry {key[:12]} is damaged" for key in damaged]
    return len(entries)


def resume(case, before, mark, found):
    """Build again, and note what is not as after a build that nobody disturbed."""
    code = case.start(mark).wait()
    if code != before.exit_code:
        words = (case.folder / "stderr").read_text(errors="replace")
        found.faults.append(f"the resumed build ended with {code}: {words[-2000:]}")
    elif tree_hash(case.bundle) != before.sha256:
        found.faults.append("the resumed build gave other bytes")
    look_at_cache(case, found)
    found.faults += [f"{place} is left after the resumed build" for place in left(case)]


def left(case):
    """List what neither a finished build nor a killed one may leave behind."""
    cache = case.cache_home / "mobilesdk"
    beside = [place for place in case.bundle.parent.iterdir() if place != case.bundle]
    working = [place for place in cache.glob("working/*") if place.suffix != ".lock"]
    return [*beside, *working, *cache.rglob(".writing-*")]


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
            if f"{MARK}={as_mark(mark)}".encode() in variables and state not in "ZX":
                found.append(int(entry.name))
    return sorted(found)


def _templates(command, mark):
    """List the templates of a command that have begun to be one.

    They lead sessions of their own; no other child of a command does.
    """
    return [pid for pid in marked(mark) if _parent(pid) == command and _session(pid) == pid]


def _copies(templates, mark):
    """List what templates have made: workers, and templates that import more, with their workers.

    All of them lead sessions of their own.
    """
    leaders = [pid for pid in marked(mark) if _session(pid) == pid]
    found = set(templates)
    while added := {pid for pid in leaders if _parent(pid) in found} - found:
        found |= added
    return sorted(found - set(templates))


def _parent(pid):
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def _session(pid):
    try:
        return int(_stat(pid)[3])
    except OSError:
        return 0


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
