"""What each step of a build took of the machine."""

from __future__ import annotations

import threading

from mobilesdk.core.frozen import Frozen
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.tasks import Event, Listener, Usage


class StepCost(Frozen):
    """What one step took; a step that came from the cache took nothing and is not listed.

    Attributes:
        model: Name of the model.
        step: Title of the step.
        targets: Targets that need it; empty if all do.
        seconds: Wall time, with the time that it waited for another build.
        usage: Of its worker; ``None`` if another build made it, or if it is not known.
    """

    model: str
    step: str
    targets: tuple[str, ...]
    failed: bool
    seconds: float
    usage: Usage | None


class ImportCost(Frozen):
    """What it took to import one toolchain, once for all steps that need it.

    Attributes:
        modules: What was imported.
    """

    modules: tuple[str, ...]
    usage: Usage


class Costs(Frozen):
    """What a build took, besides the command itself.

    Attributes:
        steps: In the order in which they ended.
    """

    steps: tuple[StepCost, ...] = ()
    imports: tuple[ImportCost, ...] = ()

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all steps and imports, as far as it is known."""
        return sum(usage.cpu_seconds for usage in self._known())

    @property
    def largest(self) -> StepCost | None:
        """The step that took most memory; ``None`` if no step was run."""
        known = [(step.usage.peak_memory_bytes, step) for step in self.steps if step.usage]
        return max(known, key=lambda each: each[0])[1] if known else None

    def _known(self) -> list[Usage]:
        steps = [step.usage for step in self.steps if step.usage is not None]
        return [*steps, *(each.usage for each in self.imports)]


class CostRecorder:
    """Hears the events of a build, passes them on, and keeps what the steps took."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._steps: list[StepCost] = []

    def listen(self, event: Event) -> None:
        """Hear one event."""
        if event.state in ("finished", "failed"):
            cost = StepCost(
                model=event.task.model,
                step=event.task.title,
                targets=event.task.targets,
                failed=event.state == "failed",
                seconds=event.seconds,
                usage=event.usage,
            )
            with self._lock:
                self._steps.append(cost)
        self._listener(event)

    def costs(self, workers: Workers) -> Costs:
        """Give what was recorded, with what the running templates have imported."""
        return Costs(
            steps=tuple(self._steps),
            imports=tuple(
                ImportCost(modules=modules, usage=usage)
                for modules, usage in workers.imports()
                if modules
            ),
        )
