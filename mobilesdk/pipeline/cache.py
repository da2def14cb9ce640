"""The content-addressed cache: finished steps, each a folder named by its key."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mobilesdk.bundle.canonical import canonical_json, files_below, sha256_file, tree_size_bytes
from mobilesdk.bundle.writing import sync_tree, write_errors, write_file
from mobilesdk.errors import UsageError

_SEAL = "seal.json"


def default_root() -> Path:
    """Give ``$XDG_CACHE_HOME/mobilesdk``, or ``~/.cache/mobilesdk``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mobilesdk"


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
        """Keep other processes from pruning the cache; remove what a killed one left unfinished.

        Raises:
            WriteFailed: The file system refused.
        """
        with self._usage_lock() as lock:
            if _try_lock(lock):  # nobody else uses it, so nobody works on what lies there
                shutil.rmtree(self._working, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def _usage_lock(self) -> Iterator[int]:
        with write_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "usage.lock", os.O_RDWR | os.O_CREAT, 0o644)
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
        if not _is_whole(folder):
            shutil.rmtree(folder, ignore_errors=True)
            return False
        with suppress(OSError):  # the time of use orders what is pruned, and nothing else
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
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        self._checked.add(key)

    def keep_failure(self, key: str, log: Path) -> Path:
        """Keep the log of a failed step, and give its place."""
        kept = self.root / "failed" / f"{key[:16]}.log"
        write_file(kept, log.read_bytes() if log.exists() else b"")
        return kept

    def entries(self) -> list[CacheEntry]:
        """List the entries, the longest unused first."""
        found = [
            CacheEntry(
                key=seal.parent.name,
                folder=seal.parent,
                size_bytes=tree_size_bytes(seal.parent),
                last_used_s=seal.stat().st_mtime,
            )
            for seal in self.root.glob(f"steps/*/*/{_SEAL}")
        ]
        return sorted(found, key=lambda entry: (entry.last_used_s, entry.key))

    def prune(self, keep_bytes: int = 0) -> list[CacheEntry]:
        """Remove the longest unused entries until at most ``keep_bytes`` remain; give them.

        Raises:
            UsageError: A build is using the cache.
        """
        with self._usage_lock() as lock:
            if not _try_lock(lock):
                raise UsageError(
                    f"A build is using {self.root}.", hint="prune the cache when it has ended."
                )
            shutil.rmtree(self._working, ignore_errors=True)
            return self._prune(keep_bytes)

    def _prune(self, keep_bytes: int) -> list[CacheEntry]:
        entries = self.entries()
        total_bytes = sum(entry.size_bytes for entry in entries)
        removed = []
        for entry in entries:
            if total_bytes <= keep_bytes:
                break
            (entry.folder / _SEAL).unlink(missing_ok=True)
            shutil.rmtree(entry.folder, ignore_errors=True)
            self._checked.discard(entry.key)
            total_bytes -= entry.size_bytes
            removed.append(entry)
        return removed


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
