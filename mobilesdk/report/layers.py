"""The values inside an artifact against the float model, as HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from mobilesdk.core.layers import LayerParity, LayerReport, ObservedOp, UnrelatedOp
from mobilesdk.report.html import folded, heading, page, paragraph, table
from mobilesdk.units import format_decibels

_WORST_COUNT = 20
_WIDTH, _HEIGHT = 960, 250
_LEFT, _BOTTOM = 48, 28
_TOP_DB, _LOWEST_DB = 80.0, -10.0
_GRID_DB = (0, 20, 40, 60, 80)


def layers_page(report: LayerReport, title: str) -> str:
    """Give a page for a report.

    Args:
        report: What was compared.
        title: Name of the artifact.
    """
    return page(f"Layers of {title}", layers_section(report, 2))


def layers_section(report: LayerReport, level: int) -> Iterator[str]:
    """Give the parts of a report: what was compared, the worst first.

    Args:
        report: What was compared.
        level: Of its headings.
    """
    yield paragraph(summary(report))
    if report.refusal:
        return
    worst = report.worst_origins[:_WORST_COUNT]
    yield paragraph(f"How values were seen: {report.how}.")
    yield heading(level, "SQNR by depth")
    yield paragraph(
        "Decibels, in the order of execution; red: the worst. What is exact is drawn at the top."
    )
    yield _chart(report.layers, {layer.place for layer in worst[:3]})
    yield heading(level, "Worst first")
    yield paragraph(
        "Less the values that only pass on the distance of what they were computed from "
        "(inherited)."
    )
    yield _layer_table(worst)
    yield folded(f"In the order of execution: {len(report.layers)}", _layer_table(report.layers))
    yield folded(f"Not compared: {len(report.unrelated)}", _unrelated_table(report.unrelated))


def summary(report: LayerReport) -> str:
    """Say in one sentence what was compared, and what was not."""
    if report.refusal:
        return f"No value was compared with the float model: {report.refusal}"
    hidden = report.hidden_op_count
    inside = f"; {hidden} ops inside of delegates show no value" if hidden else ""
    return (
        f"{len(report.layers)} values of {report.format} ops compared with the float model on "
        f"{report.sample_count} samples, {len(report.unrelated)} not compared{inside}."
    )


def _chart(layers: Sequence[LayerParity], worst: set[int]) -> str:
    points = [(_x(index, len(layers)), _y(layer.sqnr_db)) for index, layer in enumerate(layers)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    grid = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{_y(db):.1f}" y2="{_y(db):.1f}"/>'
        f'<text class="axis" x="4" y="{_y(db) + 4:.1f}">{db} dB</text>'
        for db in _GRID_DB
    )
    dots = "".join(
        f'<circle class="{"worst" if layer.place in worst else "point"}" cx="{x:.1f}" '
        f'cy="{y:.1f}" r="3"><title>{escape(_label(layer))}</title></circle>'
        for layer, (x, y) in zip(layers, points, strict=True)
    )
    return (
        f'<div><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="SQNR by depth">'
        f'{grid}<polyline class="line" points="{line}"/>{dots}</svg></div>'
    )


def _x(index: int, count: int) -> float:
    return _LEFT + (index + 0.5) * (_WIDTH - _LEFT) / max(count, 1)


def _y(sqnr_db: float) -> float:
    clipped = min(max(sqnr_db, _LOWEST_DB), _TOP_DB)
    share = (clipped - _LOWEST_DB) / (_TOP_DB - _LOWEST_DB)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - 10)


def _label(layer: LayerParity) -> str:
    return f"{layer.op.type} {layer.op.name}: {decibels(layer.sqnr_db)} ({layer.float_op})"


def decibels(sqnr_db: float) -> str:
    """Give an SQNR for people; noise without end is a value that is not finite."""
    return "not finite" if sqnr_db == -math.inf else format_decibels(sqnr_db)


def inherited(layer: LayerParity) -> str:
    """Give the SQNR of what a value was computed from."""
    return "" if layer.inherited_db is None else decibels(layer.inherited_db)


def op_type(op: ObservedOp) -> str:
    """Give the type of an op for people, with the number of ops that it stands for."""
    return op.type if op.op_count == 1 else f"{op.type} ({op.op_count} ops)"


def _layer_table(layers: Iterable[LayerParity]) -> str:
    rows = (
        (
            str(layer.place),
            op_type(layer.op),
            layer.op.name,
            layer.float_op,
            layer.module,
            layer.matched_by,
            inherited(layer),
            decibels(layer.sqnr_db),
        )
        for layer in layers
    )
    heads = ("place", "op", "name", "float op", "module", "related by", "inherited", "SQNR")
    return table(heads, rows, numbers=("place", "inherited", "SQNR"))


def _unrelated_table(unrelated: Iterable[UnrelatedOp]) -> str:
    rows = (
        (
            str(item.place),
            op_type(item.op),
            item.op.name,
            item.reason,
            "" if item.correlation is None else f"{item.correlation:.2f}",
        )
        for item in unrelated
    )
    heads = ("place", "op", "name", "reason", "largest correlation")
    return table(heads, rows, numbers=("place", "largest correlation"))
