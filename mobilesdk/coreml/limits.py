"""Which weight schemes an ML Program can store, by the first iOS version that loads them.

Sources: coremltools 9.0, ``constexpr_*`` operations of its iOS 16 and iOS 18 operation sets, and
the checks of its compression passes.
"""

from __future__ import annotations

from mobilesdk.core.scheme import WeightScheme

_IOS16_PALETTE_BITS = (1, 2, 4, 6, 8)
_FIRST_COMPRESSED, _FIRST_FINE = 16, 18


def limit(scheme: WeightScheme, ios: int) -> str:
    """Tell why a deployment target cannot store a scheme.

    Args:
        scheme: Of a weight.
        ios: Major version of iOS, 15 or later.

    Returns:
        The reason, without a full stop; empty if it can.
    """
    if scheme.encoding == "linear" and scheme.bits == 2:
        return "ML Programs have linear weights of 4 and 8 bits, not 2"
    needed = _needs(scheme)
    return f"{scheme} weights need iOS{needed} or later" if ios < needed else ""


def _needs(scheme: WeightScheme) -> int:
    if scheme.encoding == "float":
        return _FIRST_COMPRESSED if scheme.sparsity else 0
    fine = {
        "linear": scheme.bits < 8 or scheme.granularity == "per_block",
        "palette": scheme.bits not in _IOS16_PALETTE_BITS
        or scheme.granularity != "per_tensor"
        or scheme.table_bits is not None,
    }[scheme.encoding]
    return _FIRST_FINE if fine or scheme.sparsity else _FIRST_COMPRESSED
