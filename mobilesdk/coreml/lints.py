"""Faults that converters leave in a package without a word, found without running it.

Each was seen in a package that coremltools 9.0 wrote with a line in a log at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from mobilesdk.coreml.flow_lints import ids_through_float16, rounded_before_clamp
from mobilesdk.coreml.infinities import infinite_by_design
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Function
from mobilesdk.coreml.scale_lints import (
    divided_weights,
    scales_near_zero,
    scales_per_input_channel,
    values_at_risk,
    values_without_scale,
)
from mobilesdk.coreml.small_values import vanished_weights
from mobilesdk.coreml.state_lints import unwritten_states
from mobilesdk.coreml.storage_lints import (
    compressed_operands,
    larger_than_dense,
    masked_in_vain,
    skipped_weights,
)
from mobilesdk.coreml.wiring import Wiring


@dataclass(frozen=True)
class Findings:
    """What was found, one sentence each.

    Attributes:
        problems: Wrong, whoever made the package and why.
        suspicions: Wrong unless it was planned so.
        remarks: No fault by itself.
    """

    problems: tuple[str, ...]
    suspicions: tuple[str, ...]
    remarks: tuple[str, ...]


def lint(package: Package, function: Function) -> Findings:
    """Look for the faults in a function whose constants can be decoded.

    Raises:
        FileRejected: The weight file or the program is damaged.
    """
    wiring = Wiring(package, function)
    return Findings(
        problems=(
            *larger_than_dense(wiring),
            *masked_in_vain(wiring),
            *compressed_operands(wiring),
            *values_without_scale(wiring),
            *scales_per_input_channel(wiring),
            *divided_weights(wiring),
            *rounded_before_clamp(wiring),
            *ids_through_float16(wiring),
            *unwritten_states(package, function),
        ),
        suspicions=(
            *skipped_weights(wiring),
            *values_at_risk(wiring),
            *vanished_weights(wiring),
        ),
        remarks=(*scales_near_zero(wiring), *infinite_by_design(wiring)),
    )
