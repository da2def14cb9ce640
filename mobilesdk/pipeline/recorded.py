"""What a manifest claims, held to the records of the bundle and to the shipped profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mobilesdk import __version__
from mobilesdk.bundle.manifest import Manifest, ModelEntry, Variant, resolve
from mobilesdk.core.gate import Gate, Verification
from mobilesdk.core.parity import ParityReport
from mobilesdk.errors import FileRejected
from mobilesdk.targets import load_profile, shipped_profiles
from mobilesdk.verify.gates import NON_FINITE_RUNS, judge

_RECORDS = ("parity", "runtime")
MAX_RECORD_BYTES = 64 << 20
_HINT = "fetch the bundle again, or build it again; do not release this one."


class _Recorded(BaseModel):
    """What stands both in the records of a variant and in the manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    verification: Verification
    reason: str
    ran_on: str
    gates: tuple[Gate, ...]
    parity: ParityReport | None


def check_records(bundle: Path, manifest: Manifest) -> None:
    """Compare the figures of every variant with its records, and its limits with its profile.

    The limits are known of shipped profiles without overrides, in a bundle that this version of
    mobilesdk wrote.

    Raises:
        FileRejected: They differ, or a record is missing or damaged.
    """
    for model in manifest.models:
        for variant in model.variants:
            subject = f"{model.name} for {variant.target}"
            _compare(subject, _claimed(variant), _read(bundle, subject, variant))
            if manifest.mobilesdk_version == __version__:
                _check_limits(subject, model, variant)


def _claimed(variant: Variant) -> _Recorded:
    return _Recorded(
        verification=variant.verification,
        reason=variant.verification_reason,
        ran_on=variant.ran_on,
        gates=variant.gates,
        parity=variant.parity,
    )


def _read(bundle: Path, subject: str, variant: Variant) -> _Recorded:
    found: dict[str, object] = {}
    for name in _RECORDS:
        if name not in variant.records:
            raise FileRejected(f"{subject} has no record of its {name}.", hint=_HINT)
        path = resolve(bundle, variant.records[name])
        if not path.is_file() or path.stat().st_size > MAX_RECORD_BYTES:
            raise FileRejected(f"{variant.records[name]} is no record.", hint=_HINT)
        try:
            found |= json.loads(path.read_bytes())
        except (ValueError, TypeError, RecursionError) as error:
            raise FileRejected(f"{variant.records[name]}: {error}.", hint=_HINT) from error
    try:
        return _Recorded.model_validate(found)
    except ValidationError as error:
        raise FileRejected(f"The records of {subject}: {error}", hint=_HINT) from error


def _compare(subject: str, claimed: _Recorded, recorded: _Recorded) -> None:
    # As JSON, because a figure that is not a number does not equal itself.
    here, there = claimed.model_dump(mode="json"), recorded.model_dump(mode="json")
    if here == there:
        return
    claims, records = _by_name(claimed.gates), _by_name(recorded.gates)
    lines = [
        f"{name}: {claims.get(name, 'no gate')} in the manifest, "
        f"{records.get(name, 'no gate')} in the record"
        for name in sorted({*claims, *records})
        if claims.get(name) != records.get(name)
    ]
    lines += [
        f"{name}: {here[name]!r} in the manifest, {there[name]!r} in the record"
        for name in ("verification", "reason", "ran_on")
        if here[name] != there[name]
    ]
    if not lines:
        lines = [f"{name} differs" for name in ("gates", "parity") if here[name] != there[name]]
    raise FileRejected(
        f"The manifest is not what the records of {subject} say: {'; '.join(lines)}.", hint=_HINT
    )


def _by_name(gates: Iterable[Gate]) -> dict[str, str]:
    """Write what a gate decides by: its figure, limit and verdict."""
    return {gate.title: f"{gate.value} against {gate.limit}, {gate.verdict}" for gate in gates}


def _check_limits(subject: str, model: ModelEntry, variant: Variant) -> None:
    if variant.overrides or variant.profile not in shipped_profiles():
        return
    budget = load_profile(variant.profile).budget
    asked = judge(budget, model.contract, None, variant.size_bytes, variant.float_size_bytes)
    limits = {gate.title: gate.limit for gate in asked}
    claimed = {
        gate.title: gate.limit
        for gate in variant.gates
        if gate.name != NON_FINITE_RUNS and not gate.metric
    }
    if limits == claimed:
        return
    lines = [
        f"{name}: {claimed.get(name, 'no limit')}, not {limits.get(name, 'any')}"
        for name in sorted({*limits, *claimed})
        if limits.get(name) != claimed.get(name)
    ]
    raise FileRejected(
        f"The limits of {subject} are not those of the shipped profile {variant.profile!r}, and "
        f"the manifest names no override: {'; '.join(lines)}.",
        hint=_HINT,
    )
