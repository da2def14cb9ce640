"""A plan as a value: what a build would do, what is shared, what is cached, what is wrong."""

from __future__ import annotations

from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import Problem


class PlannedStep(Frozen):
    """One step of one variant.

    Attributes:
        key: Address of its result; the same step in two variants has one key and runs once.
        title: For people, e.g. ``quantize_static``.
        detail: Its configuration in one line.
        cached: Whether its result is in the cache.
        shared_by: How many variants need it.
    """

    key: str
    title: str
    detail: str
    cached: bool
    shared_by: int


class PlannedVariant(Frozen):
    """All steps that lead to the artifact of one target."""

    model: str
    target: str
    target_title: str
    format: str
    profile: str
    steps: tuple[PlannedStep, ...]


class Unreachable(Frozen):
    """A target that was not asked for by name and that the model cannot reach."""

    model: str
    target: str
    reason: str


class Plan(Frozen):
    """What a build would do.

    Attributes:
        problems: All reasons why it would not start; empty for a plan that can be built.
        missing_tools: The toolchains among them, each with the line that installs it.
        unread: Models that were not read because of the problems; what depends on them was not
            looked at.
    """

    variants: tuple[PlannedVariant, ...]
    unreachable: tuple[Unreachable, ...] = ()
    problems: tuple[Problem, ...] = ()
    missing_tools: dict[str, str] = {}
    unread: tuple[str, ...] = ()

    @property
    def step_count(self) -> int:
        """Number of different steps."""
        return len({step.key for variant in self.variants for step in variant.steps})

    @property
    def cached_count(self) -> int:
        """Number of different steps whose results are in the cache."""
        return len({s.key for variant in self.variants for s in variant.steps if s.cached})
