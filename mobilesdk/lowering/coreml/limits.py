"""Which integer activations an ML Program can have, asked before anything runs.

Plain data: importing this loads no toolchain.
"""

from __future__ import annotations

from mobilesdk.core.scheme import Request, WeightScheme

_FIRST_INTEGER_ACTIVATIONS = 17


def refuse_integers(request: Request, ios: int) -> list[str]:
    """Give every reason why integer activations cannot be stored; empty if they can.

    Args:
        request: What the profile asks for; its activations are not float.
        ios: Major version of the deployment target.
    """
    activations = request.activations
    if activations.mode == "dynamic" or activations.bits != 8:
        return [f"Core ML has static int8 activations, and no {activations} ones."]
    if ios < _FIRST_INTEGER_ACTIVATIONS:
        return [
            f"Core ML: {activations} activations need iOS{_FIRST_INTEGER_ACTIVATIONS} or later "
            f"(deployment_target = 'iOS{ios}')."
        ]
    layers = [scheme for role, scheme in request.weights.items() if role != "embedding"]
    rounded = {str(scheme) for scheme in layers if scheme.encoding != "float"}
    if rounded and not any(map(is_int8, layers)):
        return [
            f"Core ML: {activations} activations go with int8 weights, not with "
            f"{', '.join(sorted(rounded))} ones."
        ]
    return []


def is_int8(scheme: WeightScheme) -> bool:
    """Tell whether a weight is stored as 8-bit integers, which integer activations go with."""
    return scheme.encoding == "linear" and scheme.bits == 8
