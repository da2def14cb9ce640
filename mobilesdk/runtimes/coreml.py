"""Core ML packages: read whole, not executed here.

What it does:
    Reads an ``.mlpackage`` without Apple's tools: every operation, and every weight decoded to the
    values that the device computes with.

When to use:
    To check what a package holds: schemes, sizes, decoded values.

Cost:
    Below a second for a mobile image network, seconds for 20 million parameters; one weight at a
    time is in memory.

Limits:
    Nothing is run, so numbers stay ``not_evaluated``. Packages with models other than ML Programs
    are rejected.

References:
    https://github.com/apple/coremltools/tree/main/mlmodel/format
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, DType
from mobilesdk.core.form import Form
from mobilesdk.coreml.model import Feature
from mobilesdk.coreml.op_list import computing_ops
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.weights import read_weights
from mobilesdk.errors import ArtifactInvalid, FileRejected
from mobilesdk.plugins.contract import RuntimeSession, Tool

plugin_api = 1

_NOT_EXECUTED = (
    "ML Programs are not executed on this machine yet: the file was decoded and checked "
    "structurally."
)
_MAIN = "main"


class CoreMLRuntime:
    """See the module."""

    tools: tuple[Tool, ...] = ()
    form = Form.COREML_PACKAGE
    suffix = ".mlpackage"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside a package without running it.

        Raises:
            FileRejected: The package is damaged or hostile.
        """
        package = Package(path)
        model = package.model
        if _MAIN not in model.program.functions:
            raise FileRejected(f"The ML Program has no function named {_MAIN!r}.")
        function = model.program.functions[_MAIN]
        weights, problems = read_weights(package, function)
        features = (*model.inputs, *model.outputs)
        return ArtifactInfo(
            format="coreml",
            size_bytes=package.layout.size_bytes,
            inputs=_tensors(model.inputs),
            outputs=_tensors(model.outputs),
            weights=weights,
            ops=computing_ops(function),
            minimum_os=model.minimum_os,
            problems=(*_feature_problems(features), *problems),
        )

    def refuses(self, info: ArtifactInfo) -> str:
        """Give the reason why packages cannot be run here."""
        del info
        return _NOT_EXECUTED

    def load(self, path: Path, contract: Contract, threads: int) -> RuntimeSession:
        """Refuse to load.

        Raises:
            ArtifactInvalid: Always.
        """
        del contract, threads
        raise ArtifactInvalid(f"{path.name}: {_NOT_EXECUTED}")


def _tensors(features: tuple[Feature, ...]) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(name=item.name, shape=item.shape, dtype=cast("DType", item.dtype))
        for item in features
        if item.dtype in get_args(DType)
    )


def _feature_problems(features: tuple[Feature, ...]) -> list[str]:
    problems = []
    for item in features:
        if item.kind != "array":
            problems.append(f"{item.name!r} is {item.kind}, not an array.")
        elif item.dtype not in get_args(DType):
            problems.append(f"{item.name!r} has the element type {item.dtype}.")
        elif item.flexible:
            problems.append(f"{item.name!r} has a flexible shape; the contract's are fixed.")
    return problems


PLUGIN = CoreMLRuntime()
