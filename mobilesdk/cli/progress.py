"""Progress of a build on stderr: one line per step while it runs, a line kept when it ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TaskID as BarId

from mobilesdk.pipeline.costs import Costs
from mobilesdk.pipeline.tasks import Event, Task, Usage
from mobilesdk.units import format_bytes, format_seconds

_MARKS = {"cached": "[dim]=[/]", "finished": "[green]✓[/]", "failed": "[red]✗[/]"}


class BuildProgress:
    """Shows the events of a build: bars for running steps on a terminal, else lines only."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._bars: dict[str, BarId] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def listen(self, event: Event) -> None:
        """Show one event."""
        key = event.task.key
        if event.state == "started":
            self._bars[key] = self._progress.add_task(_label(event.task), total=None, message="")
        elif event.state == "progress" and key in self._bars:
            total = None if event.fraction is None else 1.0
            self._progress.update(
                self._bars[key], total=total, completed=event.fraction or 0, message=event.message
            )
        elif event.state in _MARKS:
            self._end(event)

    def _end(self, event: Event) -> None:
        if event.task.key in self._bars:
            self._progress.remove_task(self._bars.pop(event.task.key))
        if event.state == "cached":
            return
        figures = format_seconds(event.seconds)
        if event.usage is not None:
            figures += f", {_figures(event.usage)}"
        line = f"{_MARKS[event.state]} {escape(_label(event.task))} [dim]{figures}[/]"
        if event.state == "failed":
            first, _, _ = event.message.partition("\n")
            line += f"  {escape(first)}"
        self._console.print(line, soft_wrap=True)

    def sum_up(self, costs: Costs) -> None:
        """Say what all steps took together, and which one took most memory."""
        if costs.largest is None or costs.largest.usage is None:
            return
        count, most = len(costs.steps), costs.largest
        parts = [f"{count} steps, {len(costs.imports)} toolchains imported"]
        parts.append(f"{format_seconds(costs.cpu_seconds)} CPU")
        memory = format_bytes(costs.largest.usage.peak_memory_bytes)
        where = " ".join([most.step, most.model, *(["for", *most.targets] if most.targets else [])])
        line = f"[dim]= {', '.join(parts)}; most memory: {memory}, {escape(where)}[/]"
        self._console.print(line, soft_wrap=True)


def _figures(usage: Usage) -> str:
    return f"{format_seconds(usage.cpu_seconds)} CPU, {format_bytes(usage.peak_memory_bytes)}"


def _label(task: Task) -> str:
    if len(task.targets) == 1:
        return f"{task.model} · {task.title} · {task.targets[0]}"
    if task.targets:
        return f"{task.model} · {task.title} · for {len(task.targets)} targets"
    return f"{task.model} · {task.title}"
