"""Runs of an asset by Apple's runtime for Linux, on the CPU."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobilesdk.core.contract import Contract, OutputSpec
from mobilesdk.errors import ArtifactInvalid

_FUNCTION = "main"
_INT32 = np.iinfo(np.int32)


class Session:
    """A loaded asset. It is compiled into files that are gone once it is loaded."""

    def __init__(self, path: Path, contract: Contract) -> None:
        """Compile and load an asset.

        Args:
            path: The asset.
            contract: Its names, shapes and dtypes.

        Raises:
            ArtifactInvalid: It does not compile or load, or has other inputs and outputs.
        """
        self._contract = contract
        self._runner = asyncio.Runner()
        try:
            self._function = self._runner.run(_load(path))
        except (RuntimeError, KeyError, ValueError) as error:
            raise ArtifactInvalid(f"Core AI does not load {path.name}: {error}") from error
        described = self._function.desc
        _check("inputs", described.input_names, [spec.name for spec in contract.inputs])
        _check("outputs", described.output_names, [spec.name for spec in contract.outputs])

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on one sample; names, shapes and dtypes are the contract's.

        Raises:
            ArtifactInvalid: An id lies outside int32, the run fails, or an output is not as in the
                contract.
        """
        from coreai.runtime import NDArray as Given

        given = {
            spec.name: Given(_narrowed(spec.name, inputs[spec.name]))
            for spec in self._contract.inputs
        }
        try:
            found = self._runner.run(_call(self._function, given))
        except (RuntimeError, KeyError, ValueError) as error:
            raise ArtifactInvalid(f"Core AI does not run the asset: {error}") from error
        return {
            spec.name: _checked(spec, np.array(found[spec.name].numpy()))
            for spec in self._contract.outputs
        }

    def findings(self) -> tuple[str, ...]:
        """Tell nothing: the runtime shows no values inside of an asset."""
        return ()


def _check(what: str, found: list[str], wanted: list[str]) -> None:
    if sorted(found) != sorted(wanted):
        raise ArtifactInvalid(
            f"The asset's {what} are {sorted(found)}, the contract's {sorted(wanted)}.",
            hint="build the asset again from the model that the contract belongs to.",
        )


async def _load(path: Path) -> Any:
    from coreai.authoring import AIModelAsset

    async with AIModelAsset.load(path).executable() as model:
        return model.load_function(_FUNCTION)


async def _call(function: Any, inputs: dict[str, Any]) -> Any:
    return await function(inputs)


def _narrowed(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Give 64-bit integers as 32-bit ones, which Core AI has in their place."""
    if array.dtype != np.int64:
        return np.ascontiguousarray(array)
    if array.size and (array.min() < _INT32.min or array.max() > _INT32.max):
        raise ArtifactInvalid(f"Input {name!r} has an id outside of 32 bits.")
    return array.astype(np.int32)


def _checked(spec: OutputSpec, array: NDArray[Any]) -> NDArray[Any]:
    wanted = np.dtype(spec.dtype)
    if array.shape != spec.shape or array.dtype.kind != wanted.kind:
        raise ArtifactInvalid(
            f"Output {spec.name!r} came as {array.dtype}{list(array.shape)}, "
            f"not {spec.dtype}{list(spec.shape)}."
        )
    return array.astype(wanted)
