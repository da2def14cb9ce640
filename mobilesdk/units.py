"""Base units are stored (bytes, seconds, decibels, ratios); here they become text for people."""

from __future__ import annotations

import re

_PREFIXES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def format_bytes(size_bytes: int) -> str:
    """Give a size with SI prefixes and three digits, e.g. ``4.95 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{int(size)} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def parse_bytes(text: str) -> int:
    """Give the bytes of a size with an SI prefix, e.g. ``5GB`` or ``1.5 MB``.

    Raises:
        ValueError: It is no such size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|kB|MB|GB|TB)", text.strip())
    if found is None:
        raise ValueError(text)
    return round(float(found[1]) * _PREFIXES[found[2]])


def format_seconds(seconds: float) -> str:
    """Give a duration, e.g. ``0.42 s``, ``12 s``, ``2 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def format_decibels(value_db: float) -> str:
    """Give an SQNR, e.g. ``21.5 dB``; infinite means bit-exact."""
    return "exact" if value_db == float("inf") else f"{value_db:.1f} dB"


def format_ratio(ratio: float) -> str:
    """Give a ratio 0…1 as a percentage, e.g. ``96.5 %``."""
    return f"{100 * ratio:.1f} %"


def format_nanoseconds(time_ns: float) -> str:
    """Give a short time with three digits, e.g. ``48.7 µs``."""
    for unit, size_ns in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if time_ns >= size_ns:
            return f"{time_ns / size_ns:.3g} {unit}"
    return f"{time_ns:.0f} ns"
