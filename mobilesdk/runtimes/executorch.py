"""ExecuTorch: reads ``.pte`` programs without a toolchain, and runs them on the CPU.

What it does
    Decodes ops, delegates and weights from the file; loads the file with the ExecuTorch runtime and
    runs its method ``forward``. A program that is one call of the Core ML delegate is run by the
    reference executor of Core ML packages.

When to use
    To check a program on the machine that built it, with the kernels that phones run: results of
    int8 programs are the same bits on x86 and ARM.

Cost
    A tenth of a second to read, milliseconds to run.

Limits
    XNNPACK and portable programs run. The Core ML delegate itself runs on Apple devices only: what
    the reference executor finds is no measurement of one, and it takes whole programs only.

References:
    https://docs.pytorch.org/executorch/stable/runtime-python-api-reference.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.layers import OpProfile
from mobilesdk.core.sizes import flexibility_of, shape_at, sizes_of
from mobilesdk.coreml.lints import lint
from mobilesdk.coreml.observed import ObservedPackage
from mobilesdk.coreml.op_list import computing_ops
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.session import ReferenceSession
from mobilesdk.coreml.unverifiable import unverifiable_reasons
from mobilesdk.coreml.weights import read_weights
from mobilesdk.errors import ArtifactInvalid, FileRejected, UsageError
from mobilesdk.flatbuffers.coreml_delegate import BACKEND as _COREML
from mobilesdk.flatbuffers.coreml_delegate import port_names, unfold, whole_payload
from mobilesdk.flatbuffers.executorch import inspect_file
from mobilesdk.flatbuffers.program import METHOD, read_program
from mobilesdk.flatbuffers.reader import map_file
from mobilesdk.lowering.executorch import PRELOADS
from mobilesdk.plugins.contract import ExecutedBy, ObservedSession, RuntimeSession, Tool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

plugin_api = 1

CoreMLSession = TypeVar("CoreMLSession")

_RUNS_HERE = {"XnnpackBackend"}


class ExecuTorchRuntime:
    """Runs ``.pte`` programs."""

    tools = (Tool(distribution="executorch", extra="executorch"),)
    preloads = PRELOADS
    suffix = ".pte"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside a program, without running it and without a toolchain.

        Raises:
            FileRejected: The file is damaged or hostile.
        """
        info = inspect_file(path)
        return _with_packages(path, info) if _COREML in info.delegates else info

    def executes_by(self, info: ArtifactInfo) -> ExecutedBy:
        """Tell that a program for the Core ML delegate is run by the reference executor."""
        return "reference" if _COREML in info.delegates else "runtime"

    def refuses(self, info: ArtifactInfo) -> str:
        """Give the reason why a program cannot run on this machine; empty if it can."""
        foreign = sorted(set(info.delegates) - _RUNS_HERE)
        if not foreign:
            return ""
        if info.delegates == {_COREML: 1}:
            outside = sorted({op.type for op in info.ops if op.delegate != _COREML})
            if outside:
                return f"The reference takes no kernels beside Core ML: {', '.join(outside)}."
            return "; ".join(info.unverifiable)
        if foreign == [_COREML]:
            return "The Core ML delegate is called in several places; the reference takes one."
        return f"This runtime has no backend named {', '.join(foreign)}."

    def load(self, path: Path, contract: Contract, threads: int) -> RuntimeSession:
        """Load a program from disk.

        Raises:
            FileRejected: The file is damaged or hostile.
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
        """
        info = inspect_file(path)
        _check_tensors("input", info.inputs, contract.inputs, contract)
        _check_tensors("output", info.outputs, contract.outputs, contract)
        if self.executes_by(info) == "reference":
            return _coreml_session(path, contract, threads, ReferenceSession)
        return Session(path, contract, threads, forgets=bool(info.states) and not contract.states)

    def observe(self, path: Path, contract: Contract, threads: int) -> ObservedSession:
        """Load a program from disk so that the values between its calls can be read.

        Of a program for the Core ML delegate, all values inside of the package.

        Raises:
            FileRejected: The file is damaged or hostile.
            ArtifactInvalid: Its inputs and outputs contradict the contract.
        """
        info = inspect_file(path)
        _check_tensors("input", info.inputs, contract.inputs, contract)
        _check_tensors("output", info.outputs, contract.outputs, contract)
        if self.executes_by(info) == "reference":
            return _coreml_session(path, contract, threads, ObservedPackage)
        from mobilesdk.lowering.executorch.observed import ObservedProgram

        return ObservedProgram(path, read_program(map_file(path)), info.ops, contract, threads)

    def profile(self, path: Path, run_count: int, threads: int) -> OpProfile:
        """Time the calls of a program, and the ops inside of delegates that tell their times.

        Raises:
            FileRejected: The file is damaged or hostile.
            UsageError: It holds a Core ML package.
            ArtifactInvalid: It does not run.
        """
        info = inspect_file(path)
        if self.executes_by(info) == "reference":
            raise UsageError(
                f"{path.name} holds a Core ML package, which no code of a device runs here.",
                hint="times of the reference executor would tell nothing about a device.",
            )
        from mobilesdk.lowering.executorch.profile import profile_program

        return profile_program(path, read_program(map_file(path)), info.inputs, run_count, threads)


class Session:
    """A loaded program.

    States go from run to run until `reset` if the contract has states; else every run is the first
    of a sequence.
    """

    def __init__(self, path: Path, contract: Contract, threads: int, *, forgets: bool) -> None:
        self._path = path
        self._forgets = forgets
        self._contract = contract
        self._threads = threads
        self.reset()

    def reset(self) -> None:
        """Begin a sequence: load the method again, which starts its states at their first values.

        Raises:
            ArtifactInvalid: The program does not load.
        """
        self._method = _method(self._path, self._threads)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on one sample.

        Args:
            inputs: Arrays by the names of the contract, in its shapes and dtypes.

        Returns:
            Arrays by the names of the contract's outputs; copies.

        Raises:
            ArtifactInvalid: An input is not as in the contract, or the program fails.
        """
        import torch

        if self._forgets:
            self.reset()
        shapes = {name: array.shape for name, array in inputs.items()}
        sizes = sizes_of(self._contract, shapes) if self._contract.dimensions else {}
        tensors = []
        for spec in self._contract.inputs:
            array, shape = inputs.get(spec.name), shape_at(self._contract, spec, sizes or {})
            if array is None or array.shape != shape or array.dtype != spec.dtype:
                given = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
                raise ArtifactInvalid(
                    f"Input {spec.name!r} takes {spec.dtype}{list(shape)}, not {given}."
                )
            tensors.append(torch.from_numpy(array.copy()))
        try:
            outputs = self._method.execute(tensors)
        except RuntimeError as error:
            raise ArtifactInvalid(f"The program does not run: {error}") from error
        return {
            spec.name: _checked(spec, output.numpy().copy())
            for spec, output in zip(self._contract.outputs, outputs, strict=True)
        }

    def findings(self) -> tuple[str, ...]:
        """Tell nothing: the runtime shows no values inside a program."""
        return ()


def _with_packages(path: Path, info: ArtifactInfo) -> ArtifactInfo:
    """Add the ops and weights of the Core ML packages that a program holds for its delegates."""
    ops = [op for op in info.ops if op.delegate != _COREML]
    weights, problems, systems = [*info.weights], [*info.problems], {info.minimum_os}
    suspicions, remarks = [*info.suspicions], [*info.remarks]
    packages = [item for item in read_program(map_file(path)).delegates if item.backend == _COREML]
    for place, delegate in enumerate(packages):
        with TemporaryDirectory() as folder:
            package = Package(unfold(delegate.payload, Path(folder)))
            function = package.model.program.functions.get("main")
            if function is None:
                raise FileRejected("The ML Program of a delegate has no function named 'main'.")
            found, faults = read_weights(package, function)
            findings = lint(package, function)
        prefix = f"{_COREML}.{place}."
        weights += [weight.model_copy(update={"name": prefix + weight.name}) for weight in found]
        problems += [prefix + fault for fault in (*faults, *findings.problems)]
        suspicions += [prefix + suspicion for suspicion in findings.suspicions]
        remarks += [prefix + remark for remark in findings.remarks]
        systems.add(package.model.minimum_os)
        ops += [
            op.model_copy(update={"name": prefix + op.name, "delegate": _COREML})
            for op in computing_ops(function)
        ]
    return info.model_copy(
        update={
            "ops": tuple(ops),
            "weights": tuple(weights),
            "problems": tuple(problems),
            "suspicions": tuple(suspicions),
            "remarks": tuple(remarks),
            "minimum_os": max(systems),
            "unverifiable": unverifiable_reasons(op.type for op in ops if op.delegate == _COREML),
        }
    )


def _coreml_session(
    path: Path, contract: Contract, threads: int, kind: Callable[..., CoreMLSession]
) -> CoreMLSession:
    payload = whole_payload(read_program(map_file(path)))
    if payload is None:
        raise ArtifactInvalid(f"{path.name} is not one call of the Core ML delegate.")
    inputs, outputs = port_names(payload)
    with TemporaryDirectory() as folder:
        package = Package(unfold(payload, Path(folder)))
        package.map_weights()
    return kind(package, contract, threads, inputs=inputs, outputs=outputs)


def _checked(spec: OutputSpec, array: NDArray[np.generic[Any]]) -> NDArray[Any]:
    if not spec.allows(array.shape) or array.dtype != spec.dtype:
        raise ArtifactInvalid(
            f"Output {spec.name!r} came as {array.dtype}{list(array.shape)}, not "
            f"{spec.dtype}{list(spec.shape)}."
        )
    return array


def _check_tensors(
    kind: str,
    found: Sequence[TensorInfo],
    wanted: Sequence[InputSpec | OutputSpec],
    contract: Contract,
) -> None:
    """Compare what the file declares with the contract, place by place: it keeps no names.

    Of sizes that differ from call to call it declares the largest.
    """
    declared = [(tensor.dtype, tensor.shape) for tensor in found]
    required = [(spec.dtype, _largest(contract, spec)) for spec in wanted]
    pairs = zip(found, wanted, strict=False)
    if len(found) != len(wanted) or not all(_declares(*pair, contract) for pair in pairs):
        raise ArtifactInvalid(
            f"The program's {kind}s are {declared}, but the contract has {required}.",
            hint="build the program again from the model that the contract belongs to.",
        )


def _declares(tensor: TensorInfo, spec: InputSpec | OutputSpec, contract: Contract) -> bool:
    if isinstance(spec, OutputSpec):
        return tensor.dtype == spec.dtype and spec.allows(tensor.shape)
    return (tensor.dtype, tensor.shape) == (spec.dtype, _largest(contract, spec))


def _largest(contract: Contract, spec: InputSpec | OutputSpec) -> tuple[int | None, ...]:
    flexible = flexibility_of(contract, spec) if isinstance(spec, InputSpec) else None
    return spec.shape if flexible is None else flexible.highest


def _method(path: Path, threads: int) -> Any:
    import executorch.kernels.quantized  # noqa: F401  # registers kernels for embeddings
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    portable_lib._unsafe_reset_threadpool(threads)  # unsafe while a program runs; none does yet
    try:
        return Runtime.get().load_program(path).load_method(METHOD)
    except (RuntimeError, ValueError) as error:
        raise ArtifactInvalid(f"The program does not load: {error}") from error


PLUGIN = ExecuTorchRuntime()
