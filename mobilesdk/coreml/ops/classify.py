"""The output of a classifier."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError, op


@op("classify", kind="structural")
def classify(*, probabilities: Tensor, classes: Any) -> tuple[Any, dict[Any, float]]:
    """Give the class of the largest probability, and the probabilities by class.

    Classes are texts or integers, as many as there are probabilities, each once.
    """
    values = probabilities.reshape(-1)
    labels = list(classes.reshape(-1)) if isinstance(classes, Tensor) else classes
    if not isinstance(labels, list) or not all(isinstance(item, (str, Tensor)) for item in labels):
        raise OpError("classes that are neither texts nor integers")
    if len(labels) != len(values):
        raise OpError(f"{len(labels)} classes, {len(values)} probabilities")
    names = [int(label) if isinstance(label, Tensor) else label for label in labels]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise OpError(f"the class {twice!r} twice")
    best = labels[int(values.argmax())]
    chosen = best.reshape(()) if isinstance(best, Tensor) else best
    return chosen, dict(zip(names, values.tolist(), strict=True))
