"""Which phones a target is for: conditions that an app can check on the phone itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mobilesdk.core.frozen import Frozen

Platform = Literal["android", "ios"]
Version = Annotated[str, Field(pattern=r"^\d+(\.\d+){0,2}$")]
AppleModel = Annotated[str, Field(pattern=r"^(iPhone|iPad|iPod)\d+,\d+$")]
PositiveBytes = Annotated[int, Field(gt=0)]


class MatchRule(Frozen):
    """Conditions that must all hold; one that is not given holds.

    Attributes:
        os_min: Lowest version of the operating system, e.g. ``8.1``.
        os_max: Highest version; ``14`` includes 14.1.
        ram_min_bytes: Lowest memory as the system reports it (less than the advertised size).
        ram_max_bytes: Highest memory.
        model_min: Apple: lowest model identifier (``hw.machine``); compared with models of the same
            kind (iPhone, iPad) by their two numbers.
        model_max: Apple: highest model identifier.
        soc: Android: names as in ``Build.SOC_MODEL`` (Android 12 and later), without case.
        opengl_es_min: Android: lowest version of OpenGL ES, from ``getGlEsVersion``.
    """

    os_min: Version | None = None
    os_max: Version | None = None
    ram_min_bytes: PositiveBytes | None = None
    ram_max_bytes: PositiveBytes | None = None
    model_min: AppleModel | None = None
    model_max: AppleModel | None = None
    soc: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    opengl_es_min: Version | None = None


ONLY_ON: dict[str, Platform] = {
    "model_min": "ios",
    "model_max": "ios",
    "soc": "android",
    "opengl_es_min": "android",
}
"""Conditions that one platform alone can answer."""


class Match(Frozen):
    """The ``[match]`` table: among the targets that match a phone, the highest priority wins.

    Attributes:
        priority: Rank among the targets of a platform; no two of a bundle have the same.
        any: The phone matches if one of these rules holds.
    """

    priority: int
    any: Annotated[tuple[MatchRule, ...], Field(min_length=1)]


def version_key(version: str) -> tuple[int, ...]:
    """Give the numbers of a version, for comparison."""
    return tuple(int(part) for part in version.split("."))


def model_key(model: str) -> tuple[str, int, int]:
    """Give the kind and the two numbers of an Apple model identifier, for comparison."""
    kind = model.rstrip("0123456789,")
    major, minor = model.removeprefix(kind).split(",")
    return kind, int(major), int(minor)
