"""Find the weights of the float model among the constants of a written file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mobilesdk.core.artifact import WeightInfo
from mobilesdk.core.ledger import ExpectedWeight


@dataclass(frozen=True)
class Match:
    """What was found for one expected weight.

    Attributes:
        weight: The constant; ``None`` if the file holds none.
        distance: Of the fingerprints, whatever the order of values.
        order_distance: Of the order of values.
        shared_with: Name of the other expected weight that the same constant stands for.
    """

    weight: WeightInfo | None = None
    distance: float = float("inf")
    order_distance: float = 0.0
    shared_with: str = ""


def match_weights(
    expected: Sequence[ExpectedWeight], stored: Sequence[WeightInfo], tolerance: float
) -> tuple[dict[str, Match], list[WeightInfo]]:
    """Match by name where the format keeps names, and by fingerprint where it does not.

    Matching is one to one, nearest pairs first. A weight that finds nothing left may share a
    constant with another one of equal values, as tied weights do.

    Args:
        expected: Weights of the float model.
        stored: Constants of the file.
        tolerance: Largest distance of fingerprints that count as equal.

    Returns:
        Expected name → match, and the constants that no weight claimed.
    """
    by_name = {weight.name: index for index, weight in enumerate(stored)}
    claims: dict[str, int] = {}
    for item in expected:
        if item.artifact_name in by_name:
            claims[item.name] = by_name[item.artifact_name]
    unnamed = [item for item in expected if not item.artifact_name]
    claims |= _nearest(unnamed, stored, taken=set(claims.values()))
    owners: dict[int, str] = {}
    for name, index in claims.items():
        owners.setdefault(index, name)
    matches = {item.name: _match(item, claims, owners, stored, tolerance) for item in expected}
    return matches, [weight for index, weight in enumerate(stored) if index not in owners]


def _nearest(
    expected: Sequence[ExpectedWeight], stored: Sequence[WeightInfo], taken: set[int]
) -> dict[str, int]:
    """Pair weights of equal size, nearest fingerprints first, each constant once."""
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for index, weight in enumerate(stored):
        if index not in taken:
            by_size[weight.fingerprint.elements].append(index)
    pairs = sorted(
        (_apart(item, stored[index]), place, index)
        for place, item in enumerate(expected)
        for index in by_size[item.fingerprint.elements]
    )
    claims: dict[str, int] = {}
    for _, place, index in pairs:
        name = expected[place].name
        if name not in claims and index not in taken:
            claims[name] = index
            taken.add(index)
    return claims


def _match(
    item: ExpectedWeight,
    claims: Mapping[str, int],
    owners: Mapping[int, str],
    stored: Sequence[WeightInfo],
    tolerance: float,
) -> Match:
    if item.name in claims:
        index = claims[item.name]
        owner = owners[index]
        return Match(
            weight=stored[index],
            distance=item.fingerprint.distance(stored[index].fingerprint),
            order_distance=item.fingerprint.order_distance(stored[index].fingerprint),
            shared_with=owner if owner != item.name else "",
        )
    for index, owner in sorted(owners.items(), key=lambda pair: _apart(item, stored[pair[0]])):
        distance = item.fingerprint.distance(stored[index].fingerprint)
        if distance <= tolerance:
            order_distance = item.fingerprint.order_distance(stored[index].fingerprint)
            return Match(stored[index], distance, order_distance, owner)
    return Match()


def _apart(item: ExpectedWeight, weight: WeightInfo) -> float:
    """Give the distance by values and by their order, which tells weights of like values apart."""
    found = weight.fingerprint
    return max(item.fingerprint.distance(found), item.fingerprint.order_distance(found))
