"""Read and run ``.tflite`` files with LiteRT's interpreter on the host.

What it does:
    Inspects with mobilesdk's own reader; runs with the interpreter of ai-edge-litert and its
    default delegate (XNNPACK), loaded from disk. Names of the file's signature are matched with the
    contract by their order. Integer inputs and outputs are converted with the file's own scales.

When to use:
    For every LiteRT artifact: the kernels are those that phones run on the CPU.

Cost:
    EfficientNet-Lite0: 5 ms a sample at float32, 2 ms static int8, on one core.

Limits:
    No custom ops, no select TensorFlow ops, and none that were compiled for an accelerator. How a
    GPU or NPU rounds is not seen here.

References:
    https://ai.google.dev/edge/litert/inference
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.layers import OpProfile
from mobilesdk.core.naming import natural_order
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.plugins.contract import ExecutedBy, ObservedSession, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

plugin_api = 1

Spec = TypeVar("Spec", InputSpec, OutputSpec)

_NOT_ON_HOST = ("CUSTOM:", "UNKNOWN_", "DELEGATE")


class LiteRTRuntime:
    """Reads and runs ``.tflite`` files."""

    tools = (Tool(distribution="ai-edge-litert", extra="litert"),)
    preloads = ()
    suffix = ".tflite"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside a file without running it.

        Raises:
            FileRejected: The file is damaged or hostile.
        """
        return inspect_tflite(path)

    def executes_by(self, info: ArtifactInfo) -> ExecutedBy:
        """Tell that LiteRT itself runs the file."""
        del info
        return "runtime"

    def refuses(self, info: ArtifactInfo) -> str:
        """Name the ops that the host's interpreter has no kernel for; empty if it has all."""
        missing = sorted({op.type for op in info.ops if op.type.startswith(_NOT_ON_HOST)})
        return f"LiteRT has no kernel on this host for: {', '.join(missing)}." if missing else ""

    def load(self, path: Path, contract: Contract, threads: int) -> LiteRTSession:
        """Load a file from disk.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
        """
        _, runner = _loaded(path, threads)
        return LiteRTSession(path.name, runner, contract)

    def observe(self, path: Path, contract: Contract, threads: int) -> ObservedSession:
        """Load a file from disk so that the values inside can be read.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
            UsageError: It has more than one subgraph.
        """
        from ai_edge_litert.interpreter import OpResolverType

        from mobilesdk.lowering.litert.observed import ObservedFile

        interpreter, runner = _loaded(
            path,
            threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        session = LiteRTSession(path.name, runner, contract)
        return ObservedFile(path, interpreter, session.run, session.output_tensors)

    def profile(self, path: Path, run_count: int, threads: int) -> OpProfile:
        """Time the ops of a file, inside of the CPU delegate too.

        Raises:
            FileRejected: The file is damaged or hostile.
            ArtifactInvalid: It does not run.
        """
        from mobilesdk.lowering.litert.profile import profile_file

        return profile_file(path, run_count, threads)


class LiteRTSession:
    """A loaded file."""

    def __init__(self, name: str, runner: Any, contract: Contract) -> None:
        self._name = name
        self._runner = runner
        whole = contract.functional
        self._inputs = self._pair(runner.get_input_details(), whole.inputs, "inputs")
        self._outputs = self._pair(runner.get_output_details(), whole.outputs, "outputs")
        self._state_specs = contract.states
        self.reset()

    def reset(self) -> None:
        """Begin a sequence: states are zeros before the next run."""
        self._states = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self._state_specs}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on one sample; names, shapes and dtypes are the contract's.

        Raises:
            ArtifactInvalid: An id lies outside int32, or the run fails.
        """
        given = {**inputs, **self._states}
        fed = {
            name: _encode(given[spec.name], details, spec.name)
            for name, details, spec in self._inputs
        }
        try:
            found = self._runner(**fed)
        except (RuntimeError, ValueError) as error:
            raise ArtifactInvalid(f"{self._name} does not run: {error}") from error
        outputs = {
            spec.name: _decode(found[name], details).astype(spec.dtype)
            for name, details, spec in self._outputs
        }
        self._states = {spec.name: outputs.pop(spec.next_name) for spec in self._state_specs}
        return outputs

    @property
    def output_tensors(self) -> dict[int, str]:
        """The contract's name of each tensor that is an output."""
        return {details["index"]: spec.name for _, details, spec in self._outputs}

    def findings(self) -> tuple[str, ...]:
        """Tell nothing: the runtime keeps no values inside a model."""
        return ()

    def _pair(
        self, details: dict[str, Any], specs: tuple[Spec, ...], what: str
    ) -> list[tuple[str, dict[str, Any], Spec]]:
        """Match names of the signature with the contract by their order, and compare shapes."""
        names = sorted(details, key=natural_order)
        if len(names) != len(specs):
            raise ArtifactInvalid(
                f"{self._name} has {len(names)} {what}, the contract {len(specs)}."
            )
        for name, spec in zip(names, specs, strict=True):
            shape = tuple(int(size) for size in details[name]["shape"])
            if shape != spec.shape:
                raise ArtifactInvalid(
                    f"{self._name} has {name} of shape {list(shape)}, the contract {spec.name} of "
                    f"shape {list(spec.shape)}."
                )
        return [(name, details[name], spec) for name, spec in zip(names, specs, strict=True)]


PLUGIN = LiteRTRuntime()


def _loaded(path: Path, threads: int, **options: Any) -> tuple[Any, Any]:
    """Give LiteRT's interpreter for a file, and the runner of its signature."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads, **options)
        interpreter.allocate_tensors()
        return interpreter, interpreter.get_signature_runner()
    except (RuntimeError, ValueError) as error:
        raise ArtifactInvalid(
            f"LiteRT does not load {path.name}: {error}",
            hint="mobilesdk inspect shows what the file holds.",
        ) from error


def _encode(value: NDArray[Any], details: dict[str, Any], name: str) -> NDArray[Any]:
    """Bring a value into the dtype of the file; floats by its scale, ids if they fit."""
    dtype = np.dtype(details["dtype"])
    if value.dtype == dtype:
        return value
    if not np.issubdtype(dtype, np.integer):
        return value.astype(dtype)
    limits = np.iinfo(dtype)
    if np.issubdtype(value.dtype, np.floating):
        scale, zero_point = _quantization(details, name)
        encoded = np.rint(value.astype(np.float64) / scale) + zero_point
        return np.clip(encoded, limits.min, limits.max).astype(dtype)
    if value.size and not limits.min <= int(value.min()) <= int(value.max()) <= limits.max:
        raise ArtifactInvalid(
            f"Input {name!r} holds {int(value.min())} … {int(value.max())}, and the file takes "
            f"{dtype} there."
        )
    return value.astype(dtype)


def _decode(value: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    scale, zero_point = details["quantization"]
    if not scale:
        return value
    return (value.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _quantization(details: dict[str, Any], name: str) -> tuple[float, int]:
    scale, zero_point = cast("tuple[float, int]", details["quantization"])
    if not scale:
        raise ArtifactInvalid(f"Input {name!r} takes integers, and the file gives no scale for it.")
    return scale, zero_point
