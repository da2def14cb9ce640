"""What a call runs with: plug-ins, the cache, workers, and somebody who listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mobilesdk.pipeline.cache import Cache
    from mobilesdk.pipeline.launch import Workers
    from mobilesdk.pipeline.tasks import Event

PathLike = str | Path

TIME_LIMIT_S = 3600.0
MEMORY_LIMIT_BYTES = 16_000_000_000


def add_plugins(plugins: Sequence[PathLike]) -> tuple[Path, ...]:
    """Make the plug-ins of files known to this process; give the files for the workers."""
    from mobilesdk.plugins import use_files

    files = tuple(map(Path, plugins))
    use_files(files)
    return tuple(path.resolve() for path in files)


@contextmanager
def opened_cache() -> Iterator[Cache]:
    """Give the cache of this user; when the block ends well, prune it to its limit.

    Raises:
        UsageError: The limit of the cache is no size.
    """
    from mobilesdk.pipeline.cache import Cache, default_root
    from mobilesdk.pipeline.pruning import limit_bytes, prune

    store, keep_bytes = Cache(default_root()), limit_bytes()
    with store.in_use():
        yield store
    prune(store, keep_bytes)


def new_workers(
    time_limit_s: float = TIME_LIMIT_S, memory_limit_bytes: int = MEMORY_LIMIT_BYTES
) -> Workers:
    """Give workers with limits of wall time and of resident memory for one step."""
    from mobilesdk.pipeline.launch import Limits, Workers

    return Workers(Limits(time_limit_s, memory_limit_bytes))


def ignore(_event: Event) -> None:
    """Listen to nothing."""
