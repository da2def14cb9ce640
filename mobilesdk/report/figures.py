"""Figures of a variant as text for people."""

from __future__ import annotations

from mobilesdk.bundle.manifest import Variant
from mobilesdk.core.gate import Gate
from mobilesdk.core.parity import Estimate, OutputParity, ParityReport
from mobilesdk.units import format_decibels, format_ratio

_ON_CPU = ("", "xnnpack")


def accelerator_not_run(variant: Variant) -> str:
    """Name the accelerator that a variant is for; empty if it did not run, or is for the CPU."""
    on_cpu = not variant.ran_on or variant.accelerator in _ON_CPU
    return "" if on_cpu else variant.accelerator.replace("_", " ")


def share_of_float(variant: Variant) -> str:
    """Give the size of the artifact over that of the float parameters, if there are any."""
    if not variant.float_size_bytes:
        return "–"
    return format_ratio(variant.size_bytes / variant.float_size_bytes)


def worst_figures(parity: ParityReport | None) -> tuple[str, str]:
    """Give the SQNR and the agreement, equality or cosine of the output with the lowest SQNR."""
    outputs = () if parity is None else parity.outputs
    if not outputs:
        return "–", "–"
    return output_figures(min(outputs, key=lambda each: _value(each.sqnr_db, float("inf"))))


def output_figures(output: OutputParity) -> tuple[str, str]:
    """Give the SQNR of an output, and its agreement, matched boxes, equality or cosine."""
    sqnr = "–" if output.sqnr_db is None else format_decibels(output.sqnr_db.value)
    share = (
        output.top1_agreement or output.pixel_agreement or output.matched_boxes or output.equality
    )
    if share is None:
        return sqnr, f"cosine {_value(output.cosine, float('nan')):.4f}"
    low, high = share.interval or (share.value, share.value)
    return sqnr, f"{format_ratio(share.value)} ({100 * low:.1f}–{100 * high:.1f})"


def missed(gate: Gate) -> str:
    """Give a failed gate with its figure and its limit."""
    limit = f"limit {gate.limit:.4g} {gate.unit}".rstrip()
    return f"{gate.title} {gate.value:.4g} ({limit})"


def _value(estimate: Estimate | None, missing: float) -> float:
    return missing if estimate is None else estimate.value
