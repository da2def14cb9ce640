"""The content-addressed cache: finished steps, each a folder named by its key."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mobilesdk.bundle.canonical import canonical_json, files_below, sha256_file, tree_size_bytes
from mobilesdk.bundle.writing import sync_tree, write_errors, write_file
from mobilesdk.errors import UsageError, WriteFailed
from mobilesdk.pipeline.places import check_length

_SEAL = "seal.json"
_ANOTHER = "name a folder that you may write with XDG_CACHE_HOME."
_ENTRIES_LOCK = "entries.lock"
_CLOCK_STEP_S = 1.0  # by which times of files may lag behind each other
_LOG_PART_BYTES = 4 << 20


def default_root() -> Path:
    """Give ``$XDG_CACHE_HOME/mobilesdk``, or ``~/.cache/mobilesdk``.

    Raises:
        UsageError: Neither the variable is set nor is there a home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "mobilesdk"
    except RuntimeError as error:
        raise UsageError(
            "There is no home folder, so there is no place for the cache.", hint=_ANOTHER
        ) from error


@dataclass(frozen=True)
class CacheEntry:
    """A finished step."""

    key: str
    folder: Path
    size_bytes: int
    last_used_s: float


class Cache:
    """Finished steps below one folder.

    An entry exists once its folder holds a seal: the hash of every file. A folder with no seal, or
    whose files do not hold to it, is no entry; it is removed and made again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._working = root / "working"
        self._checked: set[str] = set()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep what is used from now on from being pruned; remove what a killed user left.

        Raises:
            WriteFailed: The file system refused.
        """
        with self._lock("usage.lock") as lock:
            if _try_lock(lock):  # nobody else uses it, so nobody works on what lies there
                os.utime(lock)
                shutil.rmtree(self._working, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def unused_before(self) -> Iterator[float]:
        """Give the time of which nothing that was used before it is in use now, seconds.

        Without a user that is the end of time, and nobody becomes one before the block ends. With
        users it is the time at which there was none: what they use was used since.

        Raises:
            WriteFailed: The file system refused.
        """
        with self._lock("usage.lock") as lock:
            if _try_lock(lock):
                shutil.rmtree(self._working, ignore_errors=True)
                yield math.inf
            else:
                yield os.fstat(lock).st_mtime - _CLOCK_STEP_S

    @contextmanager
    def _lock(self, name: str) -> Iterator[int]:
        """Open a file that processes lock; it lets go when the block ends."""
        check_length(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WriteFailed(
                f"The cache {self.root} cannot be used: {error.strerror}.", hint=_ANOTHER
            ) from error
        try:
            yield lock
        finally:
            os.close(lock)

    def folder(self, key: str) -> Path:
        """Give the place of an entry, whether or not it exists."""
        return self.root / "steps" / key[:2] / key

    def has(self, key: str) -> bool:
        """Tell whether an entry is there, without reading its files."""
        return (self.folder(key) / _SEAL).is_file()

    def check(self, key: str) -> bool:
        """Tell whether an entry is there and its files are unchanged since it was sealed.

        A damaged entry is removed.
        """
        if key in self._checked:
            return True
        folder = self.folder(key)
        seal = folder / _SEAL
        if not seal.is_file():
            return False
        with self._lock(_ENTRIES_LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # from now until it counts as used, it stays
            if not _is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)
                return False
            with write_errors(seal):
                os.utime(seal)
        self._checked.add(key)
        return True

    @contextmanager
    def alone(self, name: str, wait: Callable[[], None]) -> Iterator[None]:
        """Work on something of this name in one process and thread at a time.

        Args:
            name: Names a file.
            wait: Called again and again while another one works on it; it waits, or raises.

        Raises:
            WriteFailed: The file system refused.
        """
        with write_errors(self.root):
            self._working.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._working / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            while not _try_lock(lock):
                wait()
            yield
        finally:
            os.close(lock)

    @contextmanager
    def make(self, key: str, wait: Callable[[], None]) -> Iterator[Path | None]:
        """Give an empty folder to fill; when the block ends well it becomes the entry.

        One process at a time makes an entry. One that waited while another made it gets ``None``.

        Args:
            key: Address of the entry.
            wait: As for `alone`.

        Raises:
            WriteFailed: The file system refused.
        """
        with self.alone(key, wait):
            if self.check(key):
                yield None
                return
            with self.scratch(key[:12]) as temporary:
                yield temporary
                self.put(temporary, key)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give an empty folder on the cache's file system, for `put`; it is gone afterwards."""
        with write_errors(self.root):
            self._working.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=self._working, prefix=f"{name}-"))
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def put(self, temporary: Path, key: str) -> None:
        """Seal a scratch folder and make it the entry of a key, unless there is one.

        Raises:
            WriteFailed: The file system refused.
        """
        if self.check(key):
            return
        with write_errors(self.root):
            write_file(temporary / _SEAL, canonical_json(_hashes(temporary)))
            sync_tree(temporary)
            folder = self.folder(key)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(_ENTRIES_LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                shutil.rmtree(folder, ignore_errors=True)
                temporary.rename(folder)
        self._checked.add(key)

    def keep_failure(self, key: str, log: Path) -> Path:
        """Keep the log of a failed step, and give its place."""
        kept = self.root / "failed" / f"{key[:16]}.log"
        write_file(kept, _start_and_end(log) if log.exists() else b"")
        return kept

    def entries(self) -> list[CacheEntry]:
        """List the entries, the longest unused first."""
        found = []
        for seal in self.root.glob(f"steps/*/*/{_SEAL}"):
            folder = seal.parent
            with suppress(FileNotFoundError):  # somebody else has just removed it
                used_s, size_bytes = seal.stat().st_mtime, tree_size_bytes(folder)
                found.append(CacheEntry(folder.name, folder, size_bytes, used_s))
        return sorted(found, key=lambda entry: (entry.last_used_s, entry.key))

    def remove(self, entry: CacheEntry) -> bool:
        """Remove an entry, unless it was used since it was listed; tell whether it was removed.

        Raises:
            WriteFailed: The file system refused.
        """
        seal = entry.folder / _SEAL
        with write_errors(self.root), self._lock(_ENTRIES_LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not seal.is_file() or seal.stat().st_mtime != entry.last_used_s:
                return False
            seal.unlink()
            shutil.rmtree(entry.folder)
        self._checked.discard(entry.key)
        return True

    def remove_leftovers(self) -> None:
        """Remove what somebody left who was killed while he removed an entry.

        Raises:
            WriteFailed: The file system refused.
        """
        with write_errors(self.root), self._lock(_ENTRIES_LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in self.root.glob("steps/*/*"):
                if not (folder / _SEAL).is_file():
                    shutil.rmtree(folder)


def _start_and_end(log: Path) -> bytes:
    """Read a log; of one that is very long, its start and its end."""
    size_bytes = log.stat().st_size
    if size_bytes <= 2 * _LOG_PART_BYTES:
        return log.read_bytes()
    with log.open("rb") as file:
        start = file.read(_LOG_PART_BYTES)
        file.seek(size_bytes - _LOG_PART_BYTES)
        left_out_bytes = size_bytes - 2 * _LOG_PART_BYTES
        note = f"\n[{left_out_bytes} bytes are left out here]\n".encode()
        return start + note + file.read(_LOG_PART_BYTES)


def _try_lock(lock: int) -> bool:
    """Lock a file for this process alone, if nobody else has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_whole(folder: Path) -> bool:
    """Tell whether the files of an entry are those that were sealed."""
    try:
        return (folder / _SEAL).read_bytes() == canonical_json(_hashes(folder))
    except OSError:
        return False


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in files_below(folder)
        if path.name != _SEAL
    }
