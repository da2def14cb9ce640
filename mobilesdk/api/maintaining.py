"""Look after the installation: toolchains, and the cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.core.frozen import Frozen

if TYPE_CHECKING:
    from mobilesdk.pipeline.doctor import Diagnosis


class CacheState(Frozen):
    """What the cache holds, and what was removed from it.

    Attributes:
        limit_bytes: To which it is pruned at the end of each command that uses it.
    """

    root: Path
    count: int
    size_bytes: int
    limit_bytes: int
    removed_count: int = 0
    removed_bytes: int = 0


def doctor() -> Diagnosis:
    """Look at every toolchain: versions, known-bad combinations, the fix for each."""
    from mobilesdk.pipeline.doctor import diagnose

    return diagnose()


def cache(*, keep_bytes: int | None = None) -> CacheState:
    """Tell what the cache holds; remove the longest unused results beyond ``keep_bytes``.

    What a running build may use stays.

    Raises:
        UsageError: The limit of the cache is no size.
        WriteFailed: The file system refused.
    """
    from mobilesdk.pipeline.cache import Cache, default_root
    from mobilesdk.pipeline.pruning import limit_bytes, prune

    store = Cache(default_root())
    removed = [] if keep_bytes is None else prune(store, keep_bytes)
    entries = store.entries()
    return CacheState(
        root=store.root,
        count=len(entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        limit_bytes=limit_bytes(),
        removed_count=len(removed),
        removed_bytes=sum(entry.size_bytes for entry in removed),
    )
