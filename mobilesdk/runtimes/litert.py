"""Read and run ``.tflite`` files with LiteRT's interpreter on the host.

What it does:
    Inspects with mobilesdk's own reader; runs with the interpreter of ai-edge-litert and its
    default delegate (XNNPACK), loaded from disk. Names of the file's signature are matched with the
    contract by their order. Of several signatures, a run takes the one with the shapes of its
    inputs. Integer inputs and outputs are converted with the file's own scales.

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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.layers import OpProfile
from mobilesdk.core.naming import natural_order
from mobilesdk.core.sizes import listed_sizes, shape_at
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.flatbuffers.tflite_inspect import inspect_tflite
from mobilesdk.plugins.contract import ExecutedBy, ObservedSession, Tool

if TYPE_CHECKING:
    from numpy.typing import NDArray

plugin_api = 1

Spec = TypeVar("Spec", InputSpec, OutputSpec)
Shapes = tuple[tuple[int, ...], ...]

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
        """Say why the host's interpreter cannot run a file; empty if it can."""
        if info.other_functions:
            names = ", ".join([info.function, *(each.name for each in info.other_functions)])
            return f"The file has signatures that differ in more than sizes: {names}."
        missing = sorted({op.type for op in info.ops if op.type.startswith(_NOT_ON_HOST)})
        return f"LiteRT has no kernel on this host for: {', '.join(missing)}." if missing else ""

    def load(self, path: Path, contract: Contract, threads: int) -> LiteRTSession:
        """Load a file from disk.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
        """
        _, runners = _loaded(path, threads)
        return LiteRTSession(path.name, runners, contract)

    def observe(self, path: Path, contract: Contract, threads: int) -> ObservedSession:
        """Load a file from disk so that the values inside can be read.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
            UsageError: It has several signatures, or branches or loops.
        """
        from ai_edge_litert.interpreter import OpResolverType

        from mobilesdk.lowering.litert.observed import ObservedFile

        interpreter, runners = _loaded(
            path,
            threads,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        session = LiteRTSession(path.name, runners, contract)
        return ObservedFile(path, interpreter, session.run, session.output_tensors)

    def profile(self, path: Path, run_count: int, threads: int) -> OpProfile:
        """Time the ops of a file, inside of the CPU delegate too.

        Raises:
            FileRejected: The file is damaged or hostile.
            ArtifactInvalid: It does not run.
        """
        from mobilesdk.lowering.litert.profile import profile_file

        return profile_file(path, run_count, threads)


@dataclass(frozen=True)
class _Call:
    """One signature of a file.

    Attributes:
        run: Takes and gives arrays by the names of the file.
        inputs: Each with its name in the file, what the file says of it, and its spec.
        outputs: Likewise.
    """

    run: Any
    inputs: list[tuple[str, dict[str, Any], InputSpec]]
    outputs: list[tuple[str, dict[str, Any], OutputSpec]]

    @property
    def shapes(self) -> Shapes:
        return tuple(_shape(details) for _, details, _ in self.inputs)


class LiteRTSession:
    """A loaded file."""

    def __init__(self, name: str, runners: Sequence[Any], contract: Contract) -> None:
        self._name = name
        whole = contract.functional
        self._specs = whole.inputs
        calls = [
            _Call(
                runner,
                _pairs(name, runner.get_input_details(), whole.inputs, "inputs"),
                _pairs(name, runner.get_output_details(), whole.outputs, "outputs"),
            )
            for runner in runners
        ]
        self._calls = {call.shapes: call for call in calls}
        self._check_shapes(contract)
        self._state_specs = contract.states
        self.reset()

    def reset(self) -> None:
        """Begin a sequence: states are zeros before the next run."""
        self._states = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in self._state_specs}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on one sample; names, shapes and dtypes are the contract's.

        Raises:
            ArtifactInvalid: An id lies outside int32, no signature takes the shapes of the inputs,
                or the run fails.
        """
        given = {**inputs, **self._states}
        call = self._call([given[spec.name] for spec in self._specs])
        fed = {
            name: _encode(given[spec.name], details, spec.name)
            for name, details, spec in call.inputs
        }
        try:
            found = call.run(**fed)
        except (RuntimeError, ValueError) as error:
            raise ArtifactInvalid(f"{self._name} does not run: {error}") from error
        outputs = {
            spec.name: _decode(found[name], details).astype(spec.dtype)
            for name, details, spec in call.outputs
        }
        self._states = {spec.name: outputs.pop(spec.next_name) for spec in self._state_specs}
        return outputs

    @property
    def output_tensors(self) -> dict[int, str]:
        """The contract's name of each tensor that is an output, in a file of one signature."""
        return {
            details["index"]: spec.name
            for call in self._calls.values()
            for _, details, spec in call.outputs
        }

    def findings(self) -> tuple[str, ...]:
        """Tell nothing: the runtime keeps no values inside a model."""
        return ()

    def _call(self, values: Sequence[NDArray[Any]]) -> _Call:
        shapes = tuple(value.shape for value in values)
        if shapes not in self._calls:
            raise ArtifactInvalid(f"{self._name} has no signature for inputs of {_text(shapes)}.")
        return self._calls[shapes]

    def _check_shapes(self, contract: Contract) -> None:
        """Compare the shapes of all signatures with those of the contract."""
        wanted = {
            tuple(shape_at(contract, spec, sizes) for spec in self._specs)
            for sizes in listed_sizes(contract) or ({},)
        }
        extra = self._calls.keys() - wanted if contract.dimensions else ()
        wrong = [*sorted(wanted - self._calls.keys()), *sorted(extra)]
        if wrong:
            raise ArtifactInvalid(
                f"{self._name} takes inputs of {' or of '.join(map(_text, self._calls))}, the "
                f"contract of {' or of '.join(map(_text, sorted(wanted)))}."
            )
        for call in self._calls.values():
            for name, details, spec in call.outputs:
                if not spec.allows(_shape(details)):
                    raise ArtifactInvalid(
                        f"{self._name} gives {name} of shape {list(_shape(details))}, the contract "
                        f"{spec.name} of shape {list(spec.shape)}."
                    )


PLUGIN = LiteRTRuntime()


def _loaded(path: Path, threads: int, **options: Any) -> tuple[Any, list[Any]]:
    """Give LiteRT's interpreter for a file, and the runner of each of its signatures."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads, **options)
        interpreter.allocate_tensors()
        keys = [*interpreter.get_signature_list()] or [None]
        return interpreter, [interpreter.get_signature_runner(key) for key in keys]
    except (RuntimeError, ValueError) as error:
        raise ArtifactInvalid(
            f"LiteRT does not load {path.name}: {error}",
            hint="mobilesdk inspect shows what the file holds.",
        ) from error


def _pairs(
    file: str, details: dict[str, Any], specs: tuple[Spec, ...], what: str
) -> list[tuple[str, dict[str, Any], Spec]]:
    """Match names of a signature with the contract by their order."""
    names = sorted(details, key=natural_order)
    if len(names) != len(specs):
        raise ArtifactInvalid(f"{file} has {len(names)} {what}, the contract {len(specs)}.")
    return [(name, details[name], spec) for name, spec in zip(names, specs, strict=True)]


def _shape(details: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in details["shape"])


def _text(shapes: Shapes) -> str:
    return f"shape {', '.join(str(list(shape)) for shape in shapes)}"


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
