"""What is computed from what, for all pairs of values at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Ancestry:
    """Pairs of values of which one is computed from the other.

    Args:
        names: Of the values in the order of execution; unique.
        sources: Names that each value is computed from; unknown ones are passed over.
        same_as: For each value the name of the first one that holds the same; its own as a rule.

    Attributes:
        takes: bool[n, n]: whether the first value is computed from the second, or is the same.
    """

    def __init__(
        self,
        names: Sequence[str],
        sources: Sequence[Sequence[str]],
        same_as: Sequence[str] | None = None,
    ) -> None:
        places = {name: place for place, name in enumerate(names)}
        takes = np.eye(len(names), dtype=bool)
        origins = np.arange(len(names))
        for place, taken in enumerate(sources):
            if same_as is not None:
                origins[place] = places.get(same_as[place], place)
            takes[place, origins[place]] = True
            for name in taken:
                if name in places:
                    takes[place] |= takes[places[name]]
        self.takes = takes[:, origins]
