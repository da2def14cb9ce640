"""A bundle as HTML: what was built for whom, how far it is from the float model, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mobilesdk.bundle.manifest import Manifest, ModelEntry, Structure, Variant
from mobilesdk.core.gate import Gate
from mobilesdk.core.layers import LayerReport
from mobilesdk.report.figures import (
    accelerator_not_run,
    missed,
    output_figures,
    share_of_float,
    worst_figures,
)
from mobilesdk.report.html import heading, page, paragraph, table
from mobilesdk.report.layers import layers_section
from mobilesdk.units import format_bytes

Layers = Mapping[tuple[str, str], LayerReport]


def bundle_page(manifest: Manifest, name: str, layers: Layers) -> str:
    """Give a page for a bundle.

    Args:
        manifest: Of the bundle; its verdicts follow from its figures.
        name: Of the bundle.
        layers: (model, target) → what was compared inside of that variant.
    """
    return page(f"Bundle {name}", _parts(manifest, layers))


def _parts(manifest: Manifest, layers: Layers) -> Iterator[str]:
    releasable = "yes" if manifest.releasable else "no"
    yield paragraph(f"Built by mobilesdk {manifest.mobilesdk_version}. Releasable: {releasable}.")
    if not layers:
        yield paragraph(
            "No layers were compared: build with --layers 8 to see which ops are far from the "
            "float model."
        )
    if manifest.failures:
        yield heading(2, "Not built")
        rows = [(each.model, each.target, each.step, each.code) for each in manifest.failures]
        yield table(("model", "target", "step", "error"), rows)
    for model in manifest.models:
        yield heading(2, model.name)
        yield _variant_table(model)
        for variant in model.variants:
            yield from _variant(variant, layers.get((model.name, variant.target)))


def _variant_table(model: ModelEntry) -> str:
    heads = (
        *("target", "format", "profile", "size", "of float", "SQNR", "agreement"),
        *("verification", "gates"),
    )
    rows = [
        (
            variant.target,
            variant.format,
            variant.profile,
            format_bytes(variant.size_bytes),
            share_of_float(variant),
            *worst_figures(variant.parity),
            _words(variant.verification.value),
            _gates(variant.gates),
        )
        for variant in model.variants
    ]
    failed = {place for place, each in enumerate(model.variants) if _failed(each.gates)}
    return table(heads, rows, numbers=("size", "of float", "SQNR", "agreement"), failed=failed)


def _variant(variant: Variant, layers: LayerReport | None) -> Iterator[str]:
    yield heading(3, f"{variant.target}: {variant.target_title}")
    ran = f"run by {variant.ran_on}" if variant.ran_on else "not run"
    text = f"{_words(variant.verification.value)}, {ran}"
    reason = f": {variant.verification_reason}" if variant.verification_reason else ""
    yield paragraph(f"{text[0].upper()}{text[1:]}{reason}.")
    yield paragraph(_device(variant))
    if variant.structure is not None:
        yield paragraph(_pruned(variant.structure))
    if variant.gates:
        yield heading(4, "Gates")
        yield _gate_table(variant.gates)
    if variant.parity is not None:
        yield heading(4, f"Parity on {variant.parity.sample_count} samples")
        rows = [(each.name, each.kind, *output_figures(each)) for each in variant.parity.outputs]
        heads = ("output", "kind", "SQNR", "agreement")
        yield table(heads, rows, numbers=("SQNR", "agreement"))
    if layers is not None:
        yield heading(4, "Layers")
        yield from layers_section(layers, 5)


def _pruned(structure: Structure) -> str:
    before, after = structure.before, structure.after
    return (
        f"Pruned: {before.macs:,} → {after.macs:,} multiply-accumulate operations, "
        f"{before.parameter_count:,} → {after.parameter_count:,} parameters."
    )


def _device(variant: Variant) -> str:
    """Say that no figure comes from a phone, nor from the processor that the target is for."""
    elsewhere = accelerator_not_run(variant)
    where = f" Run on the host's CPU, not on the accelerator ({elsewhere})." if elsewhere else ""
    return f"Device: {_words(variant.device)}.{where}"


def _gate_table(gates: tuple[Gate, ...]) -> str:
    heads = ("gate", "value", "limit", "unit", "95 % interval", "samples", "verdict", "reason")
    rows = [
        (
            gate.title,
            "–" if gate.value is None else f"{gate.value:.4g}",
            f"{gate.limit:.4g}",
            gate.unit,
            "" if gate.interval is None else "{:.4g} … {:.4g}".format(*gate.interval),
            str(gate.sample_count or ""),
            _words(gate.verdict),
            gate.reason,
        )
        for gate in gates
    ]
    numbers = ("value", "limit", "95 % interval", "samples")
    return table(heads, rows, numbers=numbers, failed=_failed(gates))


def _failed(gates: tuple[Gate, ...]) -> set[int]:
    return {place for place, gate in enumerate(gates) if gate.verdict == "failed"}


def _gates(gates: tuple[Gate, ...]) -> str:
    failed = [missed(gate) for gate in gates if gate.verdict == "failed"]
    counted = [gate.verdict for gate in gates if gate.verdict != "failed"]
    counts = [f"{counted.count(each)} {_words(each)}" for each in dict.fromkeys(counted)]
    return ", ".join([*failed, *counts]) or "none"


def _words(name: str) -> str:
    return name.replace("_", " ")
