"""Hold a target to what it says about ops outside the delegate."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import DelegationRefused
from mobilesdk.targets import FallbackAllowance


def enforce_fallback(info: ArtifactInfo, fallback: Literal["forbid"] | FallbackAllowance) -> None:
    """Pass an artifact whose ops outside any delegate are none, or few enough.

    Args:
        info: What is inside the artifact.
        fallback: Of the target.

    Raises:
        DelegationRefused: Names the op types outside, with their counts.
    """
    outside = Counter(op.type for op in info.ops if not op.delegate)
    total = outside.total()
    if isinstance(fallback, FallbackAllowance):
        allowed = fallback.ops
        refused = {kind: n for kind, n in outside.items() if allowed and kind not in allowed}
        if refused:
            raise DelegationRefused(
                f"{_listed(refused)} stay outside the delegate; the target allows "
                f"only {', '.join(allowed or ())} there.",
                hint=_HINT,
            )
        if total > fallback.max_ops:
            raise DelegationRefused(
                f"{total} ops stay outside the delegate ({_listed(outside)}); the target allows "
                f"{fallback.max_ops}.",
                hint=_HINT,
            )
    elif total:
        raise DelegationRefused(
            f"{total} op(s) stay outside the delegate ({_listed(outside)}); "
            "the target allows none.",
            hint=_HINT,
        )


_HINT = (
    "write the model with ops that the delegate has, or allow these in the target: "
    'fallback = { max_ops = …, ops = ["…"], reason = "…" }.'
)


def _listed(counts: dict[str, int]) -> str:
    """Write the op types, most frequent first, e.g. ``2 of aten::topk.values``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} of {kind}" for kind, count in ordered)
