"""The task graph of a build, and what was found while it was made."""

from __future__ import annotations

from dataclasses import dataclass, field

from mobilesdk.core.plan import Unreachable
from mobilesdk.errors import NO_PLACE, Place, PlanRefused, Problem
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.tasks import Task
from mobilesdk.plugins import Tool
from mobilesdk.targets import Profile, Target


@dataclass(frozen=True)
class VariantTasks:
    """The tasks that lead to one variant, and what the manifest says about it.

    Attributes:
        layers: Compares the op outputs with the float model; ``None`` if nobody asked for it.
        overrides: What the project chose in place of the target's profile and its limits.
    """

    model: ReadModel
    target: Target
    profile_name: str
    profile: Profile
    chain: tuple[str, ...]
    export: str
    verify: str
    layers: str | None
    tools: tuple[Tool, ...]
    overrides: tuple[str, ...]

    @property
    def results(self) -> tuple[str, ...]:
        """The tasks that the bundle is made from."""
        return (self.export, self.verify, *([] if self.layers is None else [self.layers]))

    @property
    def steps(self) -> tuple[str, ...]:
        """All of its own tasks, in the order of their inputs."""
        return (*self.chain, *self.results)


@dataclass
class Graph:
    """The task graph of a build.

    Attributes:
        tasks: Key → task.
        variants: In the order of models and targets.
        sets: Model name → role → key of the prepared set.
        references: Model name → key of the float outputs.
        float_ops: Model name → key of the values of the float ops, if layers are compared.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    variants: list[VariantTasks] = field(default_factory=list)
    sets: dict[str, dict[str, str]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    float_ops: dict[str, str] = field(default_factory=dict)

    def add(self, task: Task) -> str:
        """Add a task, or note that one more target needs it."""
        known = self.tasks.get(task.key)
        if known is not None:
            targets = tuple(dict.fromkeys([*known.targets, *task.targets]))
            task = Task(**{**vars(known), "targets": targets})
        self.tasks[task.key] = task
        return task.key


@dataclass
class Findings:
    """What speaks against a build.

    Attributes:
        explicit: Whether targets were asked for by name: then one out of reach is a problem.
        tools: What the build needs.
    """

    explicit: bool
    problems: list[Problem] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    unreachable: list[Unreachable] = field(default_factory=list)

    def refuse(self, model: str, target: str, reasons: list[str], place: Place = NO_PLACE) -> None:
        """Note why a target cannot be reached, and the file and line that ask for it."""
        if self.explicit:
            self.problems.extend(
                Problem(PlanRefused.code, f"{model} for {target}: {reason}", "", *place)
                for reason in reasons
            )
        else:
            reason = "; ".join(reasons)
            self.unreachable.append(Unreachable(model=model, target=target, reason=reason))
