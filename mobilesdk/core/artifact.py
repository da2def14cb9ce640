"""What is inside an artifact, read from the file itself: the same record for every format."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import sqrt

from mobilesdk.core.contract import DType, OutputSpec
from mobilesdk.core.flexibility import Flexibility
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.scheme import WeightScheme


class AxisOrder(Frozen):
    """How the values of a weight are spread along one of its axes, in their order.

    Attributes:
        size: Of the axis; at least 2.
        first: Sum of the slices' sums, each times a number of its place.
        second: The same with other numbers.
        norm: Root of the summed squares of the slices' sums.
    """

    size: int
    first: float
    second: float
    norm: float

    def distance(self, other: AxisOrder, scale: float) -> float:
        """Give the larger difference of the two sums, relative to the slices' sums or a scale."""
        largest = max(self.norm, other.norm, scale, 1e-30)
        return max(abs(self.first - other.first), abs(self.second - other.second)) / largest


class Fingerprint(Frozen):
    """Numbers about a decoded weight that no permutation of its axes changes.

    Attributes:
        elements: Number of elements.
        abs_sum: Sum of absolute values.
        square_sum: Sum of squares.
        abs_max: Largest absolute value.
        sum: Sum with signs.
        axes: The order along each axis of more than one slice, the shortest axis first.
    """

    elements: int
    abs_sum: float
    square_sum: float
    abs_max: float
    sum: float
    axes: tuple[AxisOrder, ...] = ()

    def distance(self, other: Fingerprint) -> float:
        """Give the largest relative difference of the numbers; infinite if sizes differ.

        Positive and negative elements cancel, so a difference of the signed sums is not taken
        relative to them, but to the geometric mean of what they are without signs (`abs_sum`) and
        with random ones (the root of `square_sum`).
        """
        if self.elements != other.elements:
            return float("inf")
        pairs = (
            (self.abs_sum, other.abs_sum),
            (self.square_sum, other.square_sum),
            (self.abs_max, other.abs_max),
        )
        relative = (abs(a - b) / max(abs(a), abs(b), 1e-30) for a, b in pairs)
        scale = max(self._scale_of_sum(), other._scale_of_sum(), 1e-30)
        return max(abs(self.sum - other.sum) / scale, *relative)

    def order_distance(self, other: Fingerprint) -> float:
        """Give the largest relative difference of the order of values along an axis.

        Axes are paired by size, equal ones by their nearest orders, so that permuted axes have no
        distance. A weight that was reshaped cannot be compared, and has none either.
        """
        if [axis.size for axis in self.axes] != [axis.size for axis in other.axes]:
            return 0.0
        scale = sqrt(max(self.square_sum, other.square_sum))
        left = list(other.axes)
        distances = []
        for axis in self.axes:
            candidates = [each for each in left if each.size == axis.size]
            nearest = min(candidates, key=lambda each: axis.distance(each, scale))
            left.remove(nearest)
            distances.append(axis.distance(nearest, scale))
        return max(distances, default=0.0)

    def _scale_of_sum(self) -> float:
        return sqrt(self.abs_sum * sqrt(self.square_sum))


class TensorInfo(Frozen):
    """An input, output or state as the artifact declares it.

    Attributes:
        name: Its name.
        shape: Its shape; -1 for a size that is free.
        dtype: Its element type.
        flexibility: The shapes that are allowed, where the file says so.
        color_layout: Of an image, which an app gives as pixels; empty for any other tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    flexibility: Flexibility | None = None
    color_layout: str = ""

    def allows(self, shape: Sequence[int]) -> bool:
        """Tell whether it may have a shape of sizes that are known."""
        if self.flexibility is not None:
            return self.flexibility.allows(shape)
        return len(shape) == len(self.shape) and all(
            size in (-1, wanted) for size, wanted in zip(self.shape, shape, strict=True)
        )


class ClassifierInfo(Frozen):
    """What a classifier gives: the best class, which is no tensor, and the probability of each.

    Attributes:
        label: Name of the output that is the best class.
        probabilities: Name of the output that has a probability for each class.
        classes: In the order of the probabilities.
    """

    label: str
    probabilities: str
    classes: tuple[str | int, ...]

    def name_in(self, specs: Sequence[OutputSpec], outputs: Collection[str]) -> str:
        """Give the name of the probabilities in a contract.

        Core ML names them after the label. They stand for the one output of the contract that the
        artifact does not have by its name.

        Args:
            specs: Outputs of the contract.
            outputs: Names of the artifact's outputs.

        Returns:
            Their own name if there is no such output, or several.
        """
        missing = [spec.name for spec in specs if spec.name not in outputs]
        return missing[0] if len(missing) == 1 else self.probabilities


class FunctionInfo(Frozen):
    """A function of an artifact: something that an app can call.

    Attributes:
        name: Its name.
        inputs: What it takes.
        outputs: What it gives, as far as they are tensors.
        states: What outlives a run; zeros before the first one.
        classifier: What it gives besides tensors, if it is a classifier.
    """

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    states: tuple[TensorInfo, ...] = ()
    classifier: ClassifierInfo | None = None


class WeightInfo(Frozen):
    """A constant of at least two axes, as stored.

    Attributes:
        name: Its name in the artifact, or one made from its place where the format keeps no name.
        op: Type of the op that takes it, in the words of the format.
        shape: Shape in the order of the artifact.
        scheme: How it is stored.
        vector_size: Consecutive output channels that one index of a palette stands for; 1 for any
            other storage.
        size_bytes: Stored bytes with scales, tables and masks.
        finite: Whether every decoded value is finite.
        decoded: Whether its op computes with floats made of it: an op of its own decodes it
            before, or what the op takes besides is floating point.
        fingerprint: Of the decoded values.
        functions: That share it, where the artifact has several, or several signatures.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    scheme: WeightScheme
    vector_size: int = 1
    size_bytes: int
    finite: bool
    decoded: bool = False
    fingerprint: Fingerprint
    functions: tuple[str, ...] = ()


class OpInfo(Frozen):
    """One op.

    Attributes:
        name: Its name, or its place where the format keeps no name.
        type: Type in the words of the format.
        dtype: Of its first output; of the integers that it takes, where conversions around it say
            that it is to compute in integers.
        delegate: Name of the delegate it is inside of; empty when it runs in the runtime itself.
        function: That it is in, where the artifact has several, or several signatures.
    """

    name: str
    type: str
    dtype: str
    delegate: str = ""
    function: str = ""


class ArtifactInfo(Frozen):
    """What is inside an artifact, found without running it.

    Attributes:
        format: Name of the exporter and of the runtime.
        size_bytes: Of the file, or of all files of a package.
        inputs: Of the function that runs by default, as all of an interface here.
        outputs: As far as they are tensors; the probabilities of a classifier are one.
        states: What outlives a run; zeros before the first one.
        classifier: What it gives besides tensors, if it is a classifier.
        function: Name of the function that runs by default, where the artifact has several.
        other_functions: The others, which do not run here; their weights and ops are listed too.
        signatures: Functions that differ in the sizes of their inputs, where there is one for each
            size: a run takes the one that fits. `inputs` and `outputs` are those of all of them.
        minimum_os: Lowest operating system that the file itself demands, if it says so.
        delegates: Delegate → number of delegated subgraphs.
        keeps_names: Whether inputs and outputs have the contract's names; else their order counts.
        problems: What is wrong with the file on its face (non-finite weights, bad sizes, …).
        suspicions: What is wrong unless it was planned so; a plan decides, where there is one.
        remarks: What is worth knowing and no fault.
        unverifiable: Why no run here can tell its results, one clause each; empty if one can.
    """

    format: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    states: tuple[TensorInfo, ...] = ()
    classifier: ClassifierInfo | None = None
    function: str = ""
    other_functions: tuple[FunctionInfo, ...] = ()
    signatures: tuple[FunctionInfo, ...] = ()
    weights: tuple[WeightInfo, ...]
    ops: tuple[OpInfo, ...]
    delegates: dict[str, int] = {}
    minimum_os: str = ""
    keeps_names: bool = False
    problems: tuple[str, ...] = ()
    suspicions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    unverifiable: tuple[str, ...] = ()
