"""Look after the installation: toolchains, and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.core.frozen import Frozen

if TYPE_CHECKING:
    from mobilesdk.pipeline.doctor import Diagnosis


class CacheState(Frozen):
    """What the cache holds, and what was removed from it."""

    root: Path
    count: int
    size_bytes: int
    removed_count: int = 0
    removed_bytes: int = 0


def doctor() -> Diagnosis:
    """Look at every toolchain: versions, known-bad combinations, the fix for each."""
    from mobilesdk.pipeline.doctor import diagnose

    return diagnose()


def cache(*, keep_bytes: int | None = None) -> CacheState:
    """Tell what the cache holds; remove the longest unused results beyond ``keep_bytes``.

    Raises:
        UsageError: Something is to be removed while a build uses the cache.
    """
    from mobilesdk.pipeline.cache import Cache, default_root

    store = Cache(default_root())
    removed = [] if keep_bytes is None else store.prune(keep_bytes)
    entries = store.entries()
    return CacheState(
        root=store.root,
        count=len(entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        removed_count=len(removed),
        removed_bytes=sum(entry.size_bytes for entry in removed),
    )
