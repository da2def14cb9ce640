"""Keep the cache within its limit: what goes first, and what never goes."""

from __future__ import annotations

import os

from pydantic import ValidationError

from mobilesdk.errors import UsageError
from mobilesdk.pipeline.cache import Cache, CacheEntry
from mobilesdk.pipeline.job import JOB_NAME, Job, TaskKind
from mobilesdk.units import parse_bytes

LIMIT_VARIABLE = "MOBILESDK_CACHE_SIZE"
DEFAULT_LIMIT_BYTES = 20_000_000_000
_VALUES_FOR_OTHERS = frozenset({TaskKind.FLOAT_OPS})


def limit_bytes() -> int:
    """Give the limit of the cache: ``MOBILESDK_CACHE_SIZE``, or 20 GB.

    Raises:
        UsageError: The variable is no size.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if not text:
        return DEFAULT_LIMIT_BYTES
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(
            f"{LIMIT_VARIABLE} is {text!r}, which is no size.", hint="write 5GB, for example."
        ) from error


def prune(cache: Cache, keep_bytes: int = 0) -> list[CacheEntry]:
    """Remove entries until at most ``keep_bytes`` remain; give those that were removed.

    First go values that one later step needed and the bundle does not hold (of the float ops, for
    ``--layers``), then the longest unused. What a running build may use stays, of this process or
    of another one, even if more than ``keep_bytes`` remain.

    Raises:
        WriteFailed: The file system refused.
    """
    with cache.unused_before() as time_s:
        cache.remove_leftovers()
        entries = cache.entries()
        total_bytes = sum(entry.size_bytes for entry in entries)
        if total_bytes <= keep_bytes:
            return []
        removed = []
        for entry in sorted(entries, key=lambda entry: not _serves_one_step(entry)):
            if total_bytes <= keep_bytes:
                break
            if entry.last_used_s < time_s and cache.remove(entry):
                total_bytes -= entry.size_bytes
                removed.append(entry)
        return removed


def _serves_one_step(entry: CacheEntry) -> bool:
    try:
        job = Job.model_validate_json((entry.folder / JOB_NAME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return False  # another version wrote it, or somebody has just removed it
    return job.kind in _VALUES_FOR_OTHERS
