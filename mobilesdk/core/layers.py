"""Values inside a model: what an op of an artifact gave, and how far it is from the float model."""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING, Any, Literal

from mobilesdk.core.frozen import Frozen
from mobilesdk.core.parity import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAME_DB = 0.05

MatchedBy = Literal["name", "value"]


class ObservedOp(Frozen):
    """One value inside an artifact, named by the op that gives it.

    Attributes:
        name: Of the value, or the place of the op where the format keeps no names; unique.
        type: Type of the op in the words of the format.
        delegate: Name of the delegate at whose border the value was seen; empty outside of one.
        op_count: Ops that the value stands for: 1, or all those inside of the delegate.
        sources: Names of the values that the op takes, as far as they depend on the inputs.
        float_name: The float op that the file names as its origin, if it does.
        output: The output of the contract that it is, if it is one.
        not_comparable: Why its numbers cannot be held against the float model; empty if they can.
    """

    name: str
    type: str
    delegate: str = ""
    op_count: int = 1
    sources: tuple[str, ...] = ()
    float_name: str = ""
    output: str = ""
    not_comparable: str = ""


@dataclass(frozen=True)
class Observation:
    """What an op gave in one run; integers that stand for real numbers are decoded."""

    op: ObservedOp
    values: NDArray[Any]


class FloatOp(Frozen):
    """An op of the float model.

    Attributes:
        name: Of its node.
        type: Of the operation, e.g. ``aten.convolution.default``.
        module: Path of the module that it comes from, if that is known.
        shape: Of its value.
        sources: Names of the ops that it was computed from, the nearest that are in the record.
        same_as: Name of the first op that holds the same numbers in another arrangement, or is
            computed in the same way; its own if there is none.
        outputs: The outputs of the contract that it is.
        file: With its values ``[samples, *shape]``; a name in the folder of the record.
    """

    name: str
    type: str
    module: str = ""
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    same_as: str
    outputs: tuple[str, ...] = ()
    file: str


class FloatOps(Frozen):
    """Record of the float model's values, in the order of execution."""

    sample_count: int
    ops: tuple[FloatOp, ...]


class LayerParity(Frozen):
    """Distance of one op output from the float model.

    Attributes:
        place: In the order of execution, from 0.
        op: Whose output it is.
        float_op: Name of the float op that it was compared with.
        float_place: Place of that op in the float model.
        module: Path of the module that the float op comes from, if that is known.
        matched_by: What told which float op it is: a name (that the file keeps, or of an output
            of the contract), or the values.
        correlation: Of the two values, 0 … 1, whatever their scale.
        sqnr_db: Over all samples, decibels.
        inherited_db: The lowest SQNR among the nearest compared values that it was computed from;
            ``None`` if there are none.
    """

    place: int
    op: ObservedOp
    float_op: str
    float_place: int
    module: str
    matched_by: MatchedBy
    correlation: float
    sqnr_db: Figure
    inherited_db: Figure | None = None

    @property
    def passes_on(self) -> bool:
        """Whether it is as far from the float model as what it was computed from."""
        return self.inherited_db is not None and isclose(
            self.sqnr_db, self.inherited_db, abs_tol=_SAME_DB
        )


class UnrelatedOp(Frozen):
    """An op output that was compared with nothing.

    Attributes:
        place: In the order of execution, from 0.
        op: Whose output it is.
        reason: Why.
        correlation: With the float value that it is most like, if there is one of its size.
    """

    place: int
    op: ObservedOp
    reason: str
    correlation: float | None = None


class LayerReport(Frozen):
    """All that was seen inside of an artifact.

    Attributes:
        format: Of the artifact.
        sample_count: Samples that both ran on.
        how: How the values were obtained, and what that hides; for people.
        refusal: Why nothing could be seen; empty if something was.
        layers: Compared, in the order of execution.
        unrelated: Not compared, in the order of execution.
    """

    format: str
    sample_count: int
    how: str
    refusal: str = ""
    layers: tuple[LayerParity, ...]
    unrelated: tuple[UnrelatedOp, ...]

    @property
    def worst_first(self) -> tuple[LayerParity, ...]:
        """The compared outputs, the lowest SQNR first."""
        return tuple(sorted(self.layers, key=lambda layer: (layer.sqnr_db, layer.place)))

    @property
    def worst_origins(self) -> tuple[LayerParity, ...]:
        """The same without values that only pass on the distance that they were given."""
        return tuple(layer for layer in self.worst_first if not layer.passes_on)

    @property
    def hidden_op_count(self) -> int:
        """Ops inside of delegates that show no value of their own."""
        seen = [*(layer.op for layer in self.layers), *(item.op for item in self.unrelated)]
        return sum(op.op_count - 1 for op in seen)


class OpTime(Frozen):
    """Time of one op.

    Attributes:
        name: Of the op, or its place; unique.
        type: In the words of the runtime.
        delegate: Whose op it is; empty for the runtime's own.
        median_ns: Over the runs, nanoseconds.
        minimum_ns: The shortest of them.
        inside: Name of the op whose time holds this one's; empty if it stands for itself.
    """

    name: str
    type: str
    delegate: str = ""
    median_ns: float
    minimum_ns: float
    inside: str = ""


class OpProfile(Frozen):
    """Times of all ops of an artifact on the machine that ran it, which is no device.

    Attributes:
        format: Of the artifact.
        measured_on: Always the host; no figure here speaks of a device.
        how: How times were taken, and their resolution; for people.
        run_count: Measured runs; one more came before them.
        threads: That the runtime used.
        ops: In the order of execution.
    """

    format: str
    measured_on: Literal["host"] = "host"
    how: str
    run_count: int
    threads: int
    ops: tuple[OpTime, ...]

    @property
    def total_ns(self) -> float:
        """Sum of the medians, each time once."""
        return sum(op.median_ns for op in self.ops if not op.inside)
