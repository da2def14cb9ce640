"""The signatures of a float file, and how the quantizer stores the weights that they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.scheme import CompressionRecord, WeightScheme
from mobilesdk.core.step import StepContext
from mobilesdk.flatbuffers.tflite import Subgraph, read_tflite
from mobilesdk.flatbuffers.tflite_weights import stored_weights
from mobilesdk.lowering.litert.matching import Matches, match_weights
from mobilesdk.lowering.litert.quantization import Ranges, observe_ranges, quantize
from mobilesdk.lowering.litert.recipe import OpSet, Rule, build_recipe
from mobilesdk.lowering.litert.signatures import SizedProgram


@dataclass(frozen=True)
class CalibrationInputs:
    """Calibration samples at the sizes of each signature.

    Attributes:
        contract: Of the model.
        context: Of the step, with the set.
        signature_count: How many signatures observe them.
    """

    contract: Contract
    context: StepContext
    signature_count: int

    def at(self, program: SizedProgram) -> Iterator[list[NDArray[Any]]]:
        """Give them in the order of the contract."""
        for sample in self.context.calibration or ():
            yield list(map(np.ascontiguousarray, program.inputs_of(sample, self.contract)))

    def first(self, program: SizedProgram) -> list[list[NDArray[Any]]]:
        """Give the first one; none if there is no set."""
        return list(islice(self.at(program), 1))

    def progress(self, signature: int, done: int) -> None:
        """Report how many samples a signature, by its place, has seen."""
        count = len(self.context.calibration or ())
        fraction = (signature * count + done) / max(count * self.signature_count, 1)
        self.context.report("observing ranges", fraction)


@dataclass(frozen=True)
class Part:
    """One signature of the float file.

    Attributes:
        program: What it was converted from.
        subgraph: What it became.
        matches: Which of its constants are which weights.
    """

    program: SizedProgram
    subgraph: Subgraph
    matches: Matches

    def planned(self, record: CompressionRecord) -> dict[int, WeightScheme]:
        """Map the index of each constant that holds a weight to the scheme planned for it."""
        matches = self.matches.weights
        return {
            constant.index: weight.planned
            for weight in record.weights
            if weight.name in matches and not matches[weight.name].is_part
            for constant in matches[weight.name].constants
        }

    @property
    def floats(self) -> dict[int, str]:
        """Index → name of the values of a run that are floats."""
        return {
            index: tensor.name
            for index, tensor in enumerate(self.subgraph.tensors)
            if tensor.data is None and tensor.dtype == "float32"
        }


def parts_of(
    content: bytes, programs: Iterable[SizedProgram], weights: Mapping[str, NDArray[Any]]
) -> list[Part]:
    """Give the signatures of a float file that was converted from programs.

    Args:
        content: The float file.
        programs: What it was converted from.
        weights: Name → values in the layout of torch.
    """
    file = read_tflite(content)
    subgraphs = {each.key: file.subgraphs[each.subgraph] for each in file.signatures}
    return [
        Part(
            program=each,
            subgraph=subgraphs[each.name],
            matches=match_weights(weights, list(stored_weights(subgraphs[each.name]))),
        )
        for each in programs
    ]


def store(
    content: bytes,
    parts: Sequence[Part],
    record: CompressionRecord,
    samples: CalibrationInputs,
    *,
    op_set: OpSet,
    float_io: bool,
) -> bytes:
    """Have the quantizer store what was planned; give the bytes of the file.

    Args:
        content: The float file.
        parts: Its signatures.
        record: The plan.
        samples: For ranges of static activations.
        op_set: See `build_recipe`.
        float_io: See `build_recipe`.

    Raises:
        CompressionIncomplete: The quantizer refuses the plan.
        StepFailed: A value is not finite.
    """
    activations = record.activations
    recipe: list[Rule] = []
    for part in parts:
        rules = build_recipe(
            part.subgraph,
            part.planned(record),
            activations,
            op_set=op_set,
            float_io=float_io,
        )
        recipe += [rule for rule in rules if rule not in recipe]
    if all(rule["algorithm_key"] == "no_quantize" for rule in recipe):
        return content
    if activations.mode != "static":
        return quantize(content, recipe, None)
    ranges: Ranges = {}
    for place, part in enumerate(parts):
        ranges |= observe_ranges(
            content,
            part.program.name,
            part.floats,
            samples.at(part.program),
            activations,
            threads=samples.context.threads,
            progress=partial(samples.progress, place),
        )
    return quantize(content, recipe, ranges)
