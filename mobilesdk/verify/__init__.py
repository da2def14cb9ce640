"""Judge a written artifact: its content, its ledger, its delegation, its parity, its gates."""

from mobilesdk.verify.delegation import enforce_fallback
from mobilesdk.verify.gates import judge, verification
from mobilesdk.verify.ledger import build_ledger, enforce
from mobilesdk.verify.parity import compare
from mobilesdk.verify.soundness import enforce_sound

__all__ = [
    "build_ledger",
    "compare",
    "enforce",
    "enforce_fallback",
    "enforce_sound",
    "judge",
    "verification",
]
