"""The values inside a package as the reference executor computes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from mobilesdk.core.contract import Contract
from mobilesdk.core.layers import Observation, ObservedOp
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import Block, Operation
from mobilesdk.coreml.session import ReferenceSession

_CASTS = re.compile(r"(_cast_(fp16|fp32|u?int16|u?int8|int32)|_to_(fp16|fp32|u?int16))+\Z")
_RESCALED = (
    "the converter moves scales across an addition of dequantized values, so its result may be "
    "held in another scale under the same name"
)
_HOW = (
    "results of the reference executor in the declared types; constants and their decoding "
    "are not listed; of a loop, its last pass; states are zeros before each sample"
)


class ObservedPackage:
    """The default function of a package, and every result in it.

    coremltools names results after the nodes of the exported program; casts that it adds have
    suffixes.

    Attributes:
        how: How the values are obtained, and what that hides.
    """

    def __init__(
        self,
        package: Package,
        contract: Contract,
        threads: int,
        *,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> None:
        """Load a package; arguments and errors are those of `ReferenceSession`."""
        self._session = ReferenceSession(package, contract, threads, inputs=inputs, outputs=outputs)
        model = package.model
        function = model.default_function
        block = model.program.functions[function].block
        self.how = _HOW
        if len(model.program.functions) > 1:
            self.how += f"; of the function {function}"
        self._sources = {
            item.name: _sources(operation)
            for operation in block.walk()
            for item in operation.outputs
        }
        self._rescaled = _sums_of_dequantized(block)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> list[Observation]:
        """Run once on one sample; give every result that is a tensor, in the order of execution.

        Raises:
            ArtifactInvalid: The run fails, or an output is not as in the contract.
        """
        found: dict[str, Observation] = {}

        def keep(kind: str, _operation: str, name: str, values: NDArray[Any]) -> None:
            reason = _RESCALED if name in self._rescaled else ""
            if values.dtype.kind != "f":
                reason = f"its values are {values.dtype}"
            op = ObservedOp(
                name=name,
                type=kind,
                sources=tuple(self._sources[name]),
                float_name=_CASTS.sub("", name),
                output=self._session.output_names.get(name, ""),
                not_comparable=reason,
            )
            found[name] = Observation(op, values)

        self._session.run(inputs, trace=keep)
        return list(found.values())


def _sums_of_dequantized(block: Block) -> frozenset[str]:
    """Name the results of additions that take what a ``dequantize`` gives."""
    operations = list(block.walk())
    decoded = {item.name for op in operations if op.type == "dequantize" for item in op.outputs}
    return frozenset(
        item.name
        for op in operations
        if op.type == "add" and not decoded.isdisjoint(_sources(op))
        for item in op.outputs
    )


def _sources(operation: Operation) -> list[str]:
    return [name for bound in operation.inputs.values() for name in bound if isinstance(name, str)]
