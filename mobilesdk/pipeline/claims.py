"""What a manifest claims, held to the figures that stand in it."""

from __future__ import annotations

from collections.abc import Iterable

from mobilesdk.bundle.manifest import Manifest, ModelEntry, Variant
from mobilesdk.core.gate import Gate, Verification, compare
from mobilesdk.errors import FileRejected
from mobilesdk.pipeline.check import Check

_VERIFIED = frozenset({Verification.VERIFIED_ON_HOST, Verification.VERIFIED_BY_REFERENCE})
_WITHOUT_FIGURE = frozenset({"not_evaluated", "unverifiable"})


def may_be_released(models: Iterable[ModelEntry], failures: Iterable[object]) -> bool:
    """Tell whether every variant was built and verified, with all gates passed.

    A gate without a figure has not passed; a model without variants is none to release.
    """
    models = tuple(models)
    variants = [variant for model in models for variant in model.variants]
    return (
        not tuple(failures)
        and all(model.variants for model in models)
        and all(variant.verification in _VERIFIED for variant in variants)
        and all(gate.verdict == "passed" for variant in variants for gate in variant.gates)
    )


def check_claims(manifest: Manifest) -> tuple[Check, ...]:
    """Judge the stored figures again: one check for the gates of each variant.

    Raises:
        FileRejected: A verdict, a state or ``releasable`` is not what follows from the figures.
    """
    checks = tuple(
        _check_gates(f"{model.name} for {variant.target}", variant)
        for model in manifest.models
        for variant in model.variants
    )
    releasable = may_be_released(manifest.models, manifest.failures)
    if manifest.releasable and not releasable:
        raise _contradiction("it is releasable, and a variant failed or has no figure for a gate")
    if releasable and not manifest.releasable:
        raise _contradiction("it is not releasable, and every variant passed all its gates")
    return checks


def _check_gates(subject: str, variant: Variant) -> Check:
    for gate in variant.gates:
        if not _follows(gate):
            raise _contradiction(f"{subject}: {gate.title}: {gate.figures} is {gate.verdict!r}")
    verdicts = {gate.verdict for gate in variant.gates}
    failed = variant.verification is Verification.FAILED_GATE
    unsure = variant.verification in _VERIFIED and verdicts - {"passed"}
    if ("failed" in verdicts) is not failed or unsure:
        found = ", ".join(sorted(verdicts)) or "none"
        raise _contradiction(f"{subject} is {variant.verification.value!r}, its gates are: {found}")
    if failed:
        missed = "; ".join(_missed(gate) for gate in variant.gates if gate.verdict == "failed")
        return Check(subject=subject, name="gates", verdict="failed", detail=missed)
    if variant.verification not in _VERIFIED:
        reason = variant.verification_reason or variant.verification.value.replace("_", " ")
        return Check(subject=subject, name="gates", verdict="not_evaluated", detail=reason)
    detail = f"{len(variant.gates)} limits, by the figures of the manifest"
    return Check(subject=subject, name="gates", verdict="passed", detail=detail)


def _follows(gate: Gate) -> bool:
    """Tell whether the verdict is the one that the figure gives."""
    if gate.value is None:
        return gate.verdict in _WITHOUT_FIGURE
    return gate.verdict == compare(gate.name, gate.value, gate.limit)


def _missed(gate: Gate) -> str:
    text = f"{gate.title}: {gate.figures}"
    return f"{text} ({gate.reason})" if gate.reason else text


def _contradiction(what: str) -> FileRejected:
    return FileRejected(
        f"The manifest contradicts itself: {what}.",
        hint="fetch the bundle again, or build it again; do not release this one.",
    )
