"""Core ML packages: read whole, and run by a reference executor.

What it does:
    Reads an ``.mlpackage`` without Apple's tools: every operation, and every weight decoded to the
    values that the device computes with. Runs it operation by operation in the declared types:
    float16 results rounded once, sums in float32.

When to use:
    To check what a package holds and what it computes, without a Mac.

Cost:
    To read: below a second for a mobile image network, seconds for 20 million parameters; one
    weight at a time is in memory. To run: about as long as torch, with weights in float32.

Limits:
    A reference execution on this machine's CPU tells nothing about a device: devices order and
    round sums in their own ways. Random operations and custom layers cannot be verified. Packages
    with models other than ML Programs are rejected.

References:
    https://github.com/apple/coremltools/tree/main/mlmodel/format
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, DType
from mobilesdk.coreml.images import pixel_type
from mobilesdk.coreml.lints import lint
from mobilesdk.coreml.model import Feature
from mobilesdk.coreml.observed import ObservedPackage
from mobilesdk.coreml.op_list import computing_ops
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.session import ReferenceSession
from mobilesdk.coreml.unverifiable import unverifiable_reasons
from mobilesdk.coreml.weights import read_weights
from mobilesdk.errors import FileRejected
from mobilesdk.plugins.contract import ExecutedBy, ObservedSession, RuntimeSession, Tool

plugin_api = 1


class CoreMLRuntime:
    """See the module."""

    tools = (Tool(distribution="torch", extra="torch"),)
    suffix = ".mlpackage"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside a package without running it.

        Raises:
            FileRejected: The package is damaged or hostile.
        """
        package = Package(path)
        model = package.model
        name = model.default_function
        if name not in model.program.functions:
            raise FileRejected(f"The ML Program has no function named {name!r}.")
        function, interface = model.program.functions[name], model.interface(name)
        weights, problems = read_weights(package, function)
        ops = computing_ops(function)
        findings = lint(package, function)
        features = (*interface.inputs, *interface.outputs)
        return ArtifactInfo(
            format="coreml",
            size_bytes=package.layout.size_bytes,
            inputs=_tensors(interface.inputs),
            outputs=_tensors(interface.outputs),
            weights=weights,
            ops=ops,
            minimum_os=model.minimum_os,
            keeps_names=True,
            problems=(*_feature_problems(features), *problems, *findings.problems),
            suspicions=findings.suspicions,
            remarks=findings.remarks,
            unverifiable=unverifiable_reasons(op.type for op in ops),
        )

    def executes_by(self, info: ArtifactInfo) -> ExecutedBy:
        """Tell that the reference executor runs every package."""
        del info
        return "reference"

    def refuses(self, info: ArtifactInfo) -> str:
        """Give the reason why the results of a package cannot be known; empty if they can."""
        return "; ".join(info.unverifiable)

    def load(self, path: Path, contract: Contract, threads: int) -> RuntimeSession:
        """Load a package for the reference executor.

        Raises:
            FileRejected: The package is damaged or hostile.
            UnsupportedProgram: It has operations or arguments that are not known.
            ArtifactInvalid: Its inputs and outputs contradict the contract.
        """
        return ReferenceSession(Package(path), contract, threads)

    def observe(self, path: Path, contract: Contract, threads: int) -> ObservedSession:
        """Load a package so that the values inside can be read; errors are those of `load`."""
        return ObservedPackage(Package(path), contract, threads)


def _tensors(features: tuple[Feature, ...]) -> tuple[TensorInfo, ...]:
    tensors = []
    for item in features:
        shape, dtype = pixel_type(item) if item.color_layout else (item.shape, item.dtype)
        if dtype in get_args(DType):
            tensors.append(TensorInfo(name=item.name, shape=shape, dtype=cast("DType", dtype)))
    return tuple(tensors)


def _feature_problems(features: tuple[Feature, ...]) -> list[str]:
    problems = []
    for item in features:
        if item.kind not in ("array", "image"):
            problems.append(f"{item.name!r} is {item.kind}, not an array.")
        elif item.kind == "array" and item.dtype not in get_args(DType):
            problems.append(f"{item.name!r} has the element type {item.dtype}.")
        elif item.flexibility:
            problems.append(f"{item.name!r} has a flexible shape; the contract's are fixed.")
    return problems


PLUGIN = CoreMLRuntime()
