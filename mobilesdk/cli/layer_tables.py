"""What is inside an artifact, as tables on stdout: distances from the float model, and times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mobilesdk.cli.tables import console
from mobilesdk.core.layers import LayerParity, LayerReport, OpProfile, OpTime
from mobilesdk.report.layers import decibels, inherited, op_type, summary
from mobilesdk.units import format_nanoseconds, format_ratio

_WORST_COUNT = 10


def print_layers(report: LayerReport) -> None:
    """Print the worst op outputs, all in the order of execution, and what was not compared."""
    out = console()
    out.print(escape(summary(report)))
    out.print(f"[dim]{escape(report.how)}[/]")
    worst = report.worst_origins[:_WORST_COUNT]
    out.print(_layer_table("Worst first, less what only passes it on", worst))
    out.print(_layer_table("In the order of execution", report.layers))
    _print_unrelated(out, report)


def _layer_table(title: str, layers: Iterable[LayerParity]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("place", justify="right")
    for column in ("op", "name", "float op", "module", "related by"):
        table.add_column(column, overflow="fold")
    table.add_column("inherited", justify="right")
    table.add_column("SQNR", justify="right")
    for layer in layers:
        table.add_row(
            str(layer.place),
            escape(op_type(layer.op)),
            escape(layer.op.name),
            escape(layer.float_op),
            escape(layer.module),
            layer.matched_by,
            inherited(layer),
            decibels(layer.sqnr_db),
        )
    return table


def _print_unrelated(out: Console, report: LayerReport) -> None:
    names: dict[str, list[str]] = defaultdict(list)
    for item in report.unrelated:
        names[item.reason].append(f"{item.op.type} {item.op.name}")
    for reason, ops in names.items():
        out.print(f"[yellow]not compared[/] {len(ops)}: {escape(reason)}")
        out.print(f"  {escape(', '.join(ops))}")


def print_profile(profile: OpProfile) -> None:
    """Print the times of all ops in the order of execution."""
    out = console()
    total_ns = profile.total_ns
    out.print(
        f"{len(profile.ops)} times, {format_nanoseconds(total_ns)} in all: medians of "
        f"{profile.run_count} runs, {profile.threads} thread(s), on this host, not on a device."
    )
    out.print(f"[dim]{escape(profile.how)}[/]")
    table = Table()
    for column in ("op", "type", "delegate"):
        table.add_column(column, overflow="fold")
    for column in ("median", "shortest", "share"):
        table.add_column(column, justify="right")
    for op in profile.ops:
        table.add_row(*_time_cells(op, total_ns))
    out.print(table)


def _time_cells(op: OpTime, total_ns: float) -> tuple[str, ...]:
    share = format_ratio(op.median_ns / total_ns) if total_ns else "–"
    return (
        escape(op.name),
        escape(op.type),
        escape(op.delegate),
        format_nanoseconds(op.median_ns),
        format_nanoseconds(op.minimum_ns),
        share,
    )
