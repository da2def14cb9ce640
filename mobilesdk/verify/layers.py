"""Compare an artifact with the float model op by op, on the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import (
    FloatOps,
    LayerParity,
    LayerReport,
    Observation,
    ObservedOp,
    UnrelatedOp,
)
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.errors import ArtifactInvalid, StepFailed, UsageError
from mobilesdk.numerics.metrics import decibels, energies
from mobilesdk.plugins import ObservedSession, ObservingRuntime, runtime
from mobilesdk.verify.ancestry import Ancestry
from mobilesdk.verify.layouts import Shape, arrange
from mobilesdk.verify.relating import MIN_CORRELATION, MIN_POINTS, Relater, Relation, Side, probes

FLOAT_OPS_NAME = "float_ops.json"
REPORT_NAME = "layers.json"

Sample = Mapping[str, NDArray[Any]]


def compare_layers(
    path: Path,
    *,
    runtime_name: str,
    contract: Contract,
    floats: Path,
    samples: Samples,
    context: StepContext,
) -> None:
    """Compare every op output that can be related with the float model; write ``layers.json``.

    The artifact runs twice on each sample: once to tell which value is which, once to compare. If
    its values cannot be seen here, the report has nothing but the reason.

    Args:
        path: The artifact.
        runtime_name: An `ObservingRuntime` of its format.
        contract: Of the model.
        floats: Folder with the values of the float model.
        samples: The samples that these come from.
        context: Where to write.

    Raises:
        ArtifactInvalid: It does not load or run.
    """
    try:
        session = _observe(runtime_name, path, contract, context)
    except UsageError as error:
        report = LayerReport(
            format=runtime_name,
            sample_count=0,
            how="",
            refusal=error.message,
            layers=(),
            unrelated=(),
        )
    else:
        report = _compare(session, runtime_name, floats, samples, context)
    (context.output / REPORT_NAME).write_text(report.model_dump_json(), encoding="utf-8")


def _observe(
    runtime_name: str, path: Path, contract: Contract, context: StepContext
) -> ObservedSession:
    """Load an artifact so that its values can be seen.

    Raises:
        StepFailed: The runtime shows none.
        UsageError: Those of this artifact cannot be seen here.
    """
    plugin = runtime(runtime_name)
    if not isinstance(plugin, ObservingRuntime):
        raise StepFailed(f"{runtime_name} shows no values inside an artifact.")
    refusal = plugin.refuses(plugin.inspect(path))
    if refusal:
        raise UsageError(refusal)
    return plugin.observe(path, contract, context.threads)


def _compare(
    session: ObservedSession,
    runtime_name: str,
    floats: Path,
    samples: Samples,
    context: StepContext,
) -> LayerReport:
    reference = _FloatValues(floats)
    taken = list(islice(samples, reference.record.sample_count))
    seen = _Seen(session, taken, context)
    relater = Relater(seen.side, seen.probed, reference.side, reference.values)
    relations = relater.relate()
    sums, broken = seen.energies(relations, reference)
    sqnr_db = {place: float(decibels(*sums[place])) for place in sorted(relations)}
    return LayerReport(
        format=runtime_name,
        sample_count=len(taken),
        how=seen.how,
        layers=tuple(_layers(seen.ops, relations, reference, sqnr_db)),
        unrelated=tuple(
            UnrelatedOp(
                place=place,
                op=op,
                reason=_reason(seen, relater, place, broken),
                correlation=relater.nearest(place),
            )
            for place, op in enumerate(seen.ops)
            if place not in relations
        ),
    )


class _FloatValues:
    """What the float model's worker wrote."""

    def __init__(self, folder: Path) -> None:
        content = (folder / FLOAT_OPS_NAME).read_bytes()
        self.record = FloatOps.model_validate_json(content)
        self.values = [
            np.load(folder / op.file, mmap_mode="r", allow_pickle=False) for op in self.record.ops
        ]
        ops = list(enumerate(self.record.ops))
        self.side = Side(
            shapes={place: op.shape for place, op in ops},
            names={place: (op.name, *map(_output, op.outputs)) for place, op in ops},
            origin=Ancestry(
                [op.name for op in self.record.ops],
                [op.sources for op in self.record.ops],
                [op.same_as for op in self.record.ops],
            ),
        )


class _Seen:
    """What the artifact gives."""

    def __init__(
        self, session: ObservedSession, samples: list[Sample], context: StepContext
    ) -> None:
        self.how = session.how
        self._session = session
        self._samples = samples
        self._context = context
        self.ops: list[ObservedOp] = []
        self.probed: dict[int, NDArray[Any]] = {}
        self._shapes: list[Shape] = []
        self._probe()

    @property
    def side(self) -> Side:
        """Values that can be compared."""
        return Side(
            shapes={place: self._shapes[place] for place in self.probed},
            names={place: _names(self.ops[place]) for place in self.probed},
            origin=Ancestry([op.name for op in self.ops], [op.sources for op in self.ops]),
        )

    def energies(
        self, relations: Mapping[int, Relation], reference: _FloatValues
    ) -> tuple[dict[int, NDArray[np.float64]], set[int]]:
        """Sum up signal and noise of the related values; name those that are not finite."""
        sums = {place: np.zeros(2) for place in relations}
        broken: set[int] = set()
        for index, observed in self._runs("comparing"):
            for place, observation in enumerate(observed):
                if not np.isfinite(observation.values).all():
                    broken.add(place)
                if place in relations:
                    relation = relations[place]
                    true = arrange(reference.values[relation.float_place][index], relation.layout)
                    sums[place] += _energy(true, observation.values.reshape(-1))
        return sums, broken

    def _probe(self) -> None:
        rows: dict[int, list[NDArray[Any]]] = {}
        for _, observed in self._runs("relating"):
            if not self.ops:
                self.ops = [item.op for item in observed]
                self._shapes = [item.values.shape for item in observed]
                comparable = [p for p, op in enumerate(self.ops) if not op.not_comparable]
                rows = {place: [] for place in comparable}
            for place, kept in rows.items():
                flat = observed[place].values.reshape(-1)
                kept.append(flat[probes(flat.size)])
        self.probed = {place: np.stack(kept) for place, kept in rows.items()}

    def _runs(self, doing: str) -> Iterator[tuple[int, list[Observation]]]:
        count = len(self._samples)
        for index, sample in enumerate(self._samples):
            observed = list(self._session.run(sample))
            if self.ops and not _same(self.ops, observed):
                raise ArtifactInvalid(
                    "The artifact runs other ops for one sample than for another.",
                    hint="layers can be compared in programs that run the same ops every time.",
                )
            yield index, observed
            self._context.report(f"{doing} values inside the artifact", (index + 1) / count)


def _names(op: ObservedOp) -> tuple[str, ...]:
    return (op.float_name, _output(op.output)) if op.output else (op.float_name,)


def _output(name: str) -> str:
    """Give a name that no op has."""
    return f"output {name}"


def _same(ops: list[ObservedOp], observed: Iterable[Observation]) -> bool:
    return ops == [item.op for item in observed]


def _energy(true: NDArray[Any], found: NDArray[Any]) -> NDArray[np.float64]:
    """Give the energies of signal and noise where the float model is finite, as masks are not.

    The noise is infinite if the artifact is not finite there.
    """
    finite = np.isfinite(true)
    true, found = true[finite], found[finite]
    if not np.isfinite(found).all():
        return np.array([np.square(true.astype(np.float64)).sum(), np.inf])
    both: NDArray[np.float64] = energies(true[np.newaxis], found[np.newaxis])[0]
    return both


def _layers(
    ops: Sequence[ObservedOp],
    relations: Mapping[int, Relation],
    reference: _FloatValues,
    sqnr_db: Mapping[int, float],
) -> Iterator[LayerParity]:
    inherited_db = _inherited(ops, sqnr_db)
    for place, distance_db in sqnr_db.items():
        relation = relations[place]
        found = reference.record.ops[relation.float_place]
        yield LayerParity(
            place=place,
            op=ops[place],
            float_op=found.name,
            float_place=relation.float_place,
            module=found.module,
            matched_by=relation.matched_by,
            correlation=max(relation.correlation, 0.0),
            sqnr_db=distance_db,
            inherited_db=inherited_db[place],
        )


def _inherited(ops: Sequence[ObservedOp], sqnr_db: Mapping[int, float]) -> list[float | None]:
    """Give for each value the lowest SQNR among the nearest compared ones that it comes from."""
    handed_on: dict[str, float] = {}
    found: list[float | None] = []
    for place, op in enumerate(ops):
        inherited = min((handed_on[name] for name in op.sources if name in handed_on), default=None)
        found.append(inherited)
        own = sqnr_db.get(place, inherited)
        if own is not None:
            handed_on[op.name] = own
    return found


def _reason(seen: _Seen, relater: Relater, place: int, broken: set[int]) -> str:
    op = seen.ops[place]
    if op.not_comparable:
        return op.not_comparable
    if place in broken:
        return "it holds numbers that are not finite"
    values = seen.probed[place]
    if values.size and (values == values.flat[0]).all():
        return "its values are all equal"
    if values.size < MIN_POINTS:
        return f"fewer than {MIN_POINTS} numbers in all samples tell nothing"
    nearest = relater.nearest(place)
    if nearest is None:
        return "no value of the float model has as many elements"
    if nearest < MIN_CORRELATION:
        return "no value of the float model is like it"
    return (
        "what it is most like is nearer to another op, has another scale, or is not computed from "
        "what this is computed from"
    )
