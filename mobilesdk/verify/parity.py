"""Compare what the float model and the artifact gave for the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract, OutputSpec
from mobilesdk.core.parity import Estimate, OutputParity, ParityReport
from mobilesdk.errors import ArtifactInvalid, InvalidModel
from mobilesdk.numerics import intervals, metrics
from mobilesdk.verify.estimates import agreement, batches, mean, per_sample
from mobilesdk.verify.kinds import kind_figures

_TOP = 5
_CLASSES = frozenset({"classification", "tokens"})

Arrays = Mapping[str, NDArray[Any]]


def compare(contract: Contract, reference: Arrays, artifact: Arrays) -> ParityReport:
    """Give every figure of every output, with 95 % intervals where they exist.

    Args:
        contract: Of the model.
        reference: Output name → ``[N, ...]`` from the float model; axis 0 counts samples.
        artifact: The same from the artifact, in the same order of samples.

    Raises:
        ArtifactInvalid: The artifact's outputs are missing, of another shape, or not finite.
        InvalidModel: The float model's own outputs are not finite.
    """
    for spec in contract.outputs:
        _check(spec, reference, artifact)
    outputs = tuple(_compare_output(spec, reference, artifact) for spec in contract.outputs)
    counts = {len(reference[spec.name]) for spec in contract.outputs}
    if len(counts) != 1:
        raise ValueError(f"outputs have different numbers of samples: {sorted(counts)}")
    return ParityReport(sample_count=counts.pop(), outputs=outputs)


def _check(spec: OutputSpec, reference: Arrays, artifact: Arrays) -> None:
    """Pass an output of which both arrays can be compared."""
    if spec.name not in artifact:
        raise ArtifactInvalid(f"The artifact gives no output {spec.name!r}.")
    true, seen = reference[spec.name], artifact[spec.name]
    if true.shape != seen.shape:
        raise ArtifactInvalid(
            f"The output {spec.name!r} has shape {seen.shape[1:]}, not {true.shape[1:]}, "
            f"over {len(seen)} and {len(true)} samples."
        )
    bad = _first_not_finite(true)
    if bad is not None:
        raise InvalidModel(
            f"The float model gives numbers that are not finite in {spec.name!r} for sample {bad}.",
            hint="look at that sample of the evaluation set, and at divisions, logarithms and "
            "masks in the model.",
        )
    _require_finite(spec.name, seen)


def check_finite(reference: Arrays, artifact: Arrays) -> None:
    """Pass an artifact whose outputs are finite wherever the float model's are all finite.

    Args:
        reference: Output name → ``[N, ...]`` from the float model; axis 0 counts samples.
        artifact: The same from the artifact, in the same order of samples.

    Raises:
        ArtifactInvalid: An output is not finite; the first sample is named.
    """
    for name, true in reference.items():
        if _first_not_finite(true) is None:
            _require_finite(name, artifact[name])


def _require_finite(name: str, seen: NDArray[Any]) -> None:
    bad = _first_not_finite(seen)
    if bad is not None:
        raise ArtifactInvalid(
            f"The artifact gives numbers that are not finite in {name!r} for sample {bad}; "
            "the float model does not.",
            hint="look for numbers that float16 cannot hold: masks of -1e38, squares of large "
            "activations. float32 precision in the target tells whether that is it.",
        )


def _first_not_finite(values: NDArray[Any]) -> int | None:
    for index, sample in enumerate(values):
        if not np.isfinite(sample).all():
            return index
    return None


def _compare_output(spec: OutputSpec, reference: Arrays, artifact: Arrays) -> OutputParity:
    true, seen = reference[spec.name], artifact[spec.name]
    largest = max(metrics.max_abs_error(a, b) for a, b in batches(true, seen))
    found = {"max_abs_error": Estimate(value=largest)}
    if np.issubdtype(true.dtype, np.floating):
        found |= _value_figures(true, seen)
        if spec.kind in _CLASSES and true.ndim > 1 and true.shape[-1] > 1:
            found |= _class_figures(true, seen)
    else:
        found["equality"] = agreement(per_sample(metrics.equality, true, seen))
    found |= kind_figures(spec, reference, artifact)
    return OutputParity(name=spec.name, kind=spec.kind, **found)


def _value_figures(true: NDArray[Any], seen: NDArray[Any]) -> dict[str, Estimate]:
    energies = per_sample(metrics.energies, true, seen)
    signal, noise = energies.sum(axis=0)
    cosines = per_sample(metrics.cosine, true, seen)
    return {
        "sqnr_db": Estimate(
            value=float(metrics.decibels(signal, noise)),
            interval=intervals.bootstrap(energies, lambda m: metrics.decibels(m[:, 0], m[:, 1])),
        ),
        "cosine": mean(cosines),
        "cosine_min": Estimate(value=float(cosines.min())),
    }


def _class_figures(true: NDArray[Any], seen: NDArray[Any]) -> dict[str, Estimate]:
    found = {"kl": mean(per_sample(metrics.kl_divergence, true, seen))}
    for k, name in ((1, "top1_agreement"), (_TOP, "top5_agreement")):
        if k < true.shape[-1]:  # among k classes every artifact agrees
            hits = per_sample(partial(metrics.top_k_agreement, k=k), true, seen)
            found[name] = agreement(hits)
    return found
