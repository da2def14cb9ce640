"""A build on a disk that is full after so many bytes, or files: every write is refused in turn.

The disk is a file system in memory of a given size. It takes root to mount one. A smaller disk
refuses an earlier write, so that sizes in steps of one page refuse every page of every file once,
and numbers of files every file and folder. Then the disk grows, and the build is resumed.
"""

import os
import subprocess
from dataclasses import dataclass, field, replace

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.errors import WriteFailed
from tests.stress.killing import LOOK_S, ends_within, left, look_at_bundle, look_at_cache, resume

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ROOM_BYTES = 1 << 30
ROOM_FILES = 1 << 16
PARTS = (("cache",), ("bundle",), ("cache", "bundle", "temporary"))


@dataclass(frozen=True)
class Limit:
    """What a disk holds.

    Attributes:
        kind: ``pages`` or ``files``.
    """

    kind: str
    count: int

    @property
    def options(self):
        """Of mount(8) for tmpfs; a size of 0 would be no limit, and the root folder is a file."""
        if self.kind == "pages":
            return f"size={max(1, self.count) * PAGE_BYTES},nr_inodes={ROOM_FILES}"
        return f"size={ROOM_BYTES},nr_inodes={self.count + 1}"


@dataclass
class Filled:
    """A build on a disk that was too small, and what was found; `faults` is empty if all was well.

    Attributes:
        parts: What lay on the disk.
        refused: Whether a write was refused; else the disk was large enough.
    """

    parts: tuple[str, ...]
    limit: Limit
    refused: bool = False
    code: int = 0
    bundle_after: bool = False
    faults: list[str] = field(default_factory=list)


class Disk:
    """A small file system at a place."""

    def __init__(self, place):
        self.place = place

    def mount(self, options):
        """Mount an empty one."""
        self.unmount()
        self.place.mkdir(exist_ok=True)
        line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        subprocess.run(line, check=True, capture_output=True)

    def grow(self):
        """Give room for all that may come."""
        options = f"remount,size={ROOM_BYTES},nr_inodes={ROOM_FILES}"
        subprocess.run(["mount", "-o", options, str(self.place)], check=True)

    def unmount(self):
        """Take it away, with all that is on it."""
        if self.place.is_mount():
            subprocess.run(["umount", "--lazy", str(self.place)], check=True)

    def used(self):
        """Give the pages and the files that it holds."""
        state = os.statvfs(self.place)
        return {
            "pages": state.f_blocks - state.f_bfree,
            "files": state.f_files - state.f_ffree - 1,
        }


def on_disk(case, parts):
    """Give the case with parts of it on a disk."""
    return replace(case, on_disk=frozenset(parts))


def most_used(case):
    """Build with room for everything; give the pages and files that were there at most."""
    disk = Disk(case.disk)
    disk.mount(f"size={ROOM_BYTES},nr_inodes={ROOM_FILES}")
    case.empty()
    process = case.start("roomy")
    most = disk.used()
    while not ends_within(process, LOOK_S):
        most = {kind: max(count, most[kind]) for kind, count in disk.used().items()}
    disk.unmount()
    return most


def fill(case, before, parts, limit, number):
    """Build on a disk that may be too small; look at what is left; resume with more room."""
    found = Filled(parts, limit)
    disk = Disk(case.disk)
    disk.mount(limit.options)
    try:
        _build(case, before, found, f"{os.getpid()}-disk-{number}")
        disk.grow()
        _resume(case, before, found, f"{os.getpid()}-disk-{number}-resumed")
    finally:
        disk.unmount()
    return found


def _build(case, before, found, mark):
    try:
        case.empty()
    except OSError:
        found.refused = True  # not even a folder for the bundle
        return
    found.code = case.start(mark).wait()
    found.bundle_after = case.bundle.exists()
    found.refused = found.code != before.exit_code
    words = (case.folder / "stderr").read_text(errors="replace")
    if found.refused and (found.code != WriteFailed.exit_code or WriteFailed.code not in words):
        found.faults.append(f"ended with {found.code}: {words[-2000:]}")
    if not found.refused and tree_hash(case.bundle) != before.sha256:
        found.faults.append("gave other bytes")
    look_at_bundle(case, found)
    look_at_cache(case, found)
    if found.refused and found.bundle_after and not read_manifest(case.bundle).failures:
        found.faults.append("a bundle without failures, and yet a write was refused")
    found.faults += [f"{place} is left" for place in left(case)]


def _resume(case, before, found, mark):
    case.bundle.parent.mkdir(parents=True, exist_ok=True)
    case.temporary.mkdir(parents=True, exist_ok=True)
    resume(case, before, mark, found)


def spread(most, count):
    """Give limits below the most that was used, spread evenly; all of them if there are fewer."""
    for kind, highest in most.items():
        step = max(1.0, highest / count)
        seen = dict.fromkeys(round(step * place) for place in range(count))
        yield from (Limit(kind, each) for each in seen if each < highest)


def filled(case, before, count, say):
    """Fill the disk of each part of a build."""
    for parts in PARTS:
        each = on_disk(case, parts)
        most = most_used(each)
        say(f"{' and '.join(parts)}: at most {most['pages']} pages, {most['files']} files")
        for number, limit in enumerate(spread(most, count)):
            found = fill(each, before, parts, limit, number)
            state = "; ".join(found.faults) or "same bytes"
            how = "refused" if found.refused else "large enough"
            say(f"{' and '.join(parts)}, {limit.count} {limit.kind}: {how}, resumed: {state}")
            yield found
