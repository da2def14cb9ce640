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

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.coreml.inspection import inspect_package
from mobilesdk.coreml.observed import ObservedPackage
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.session import ReferenceSession
from mobilesdk.plugins.contract import (
    PROGRAM_PRELOADS,
    ExecutedBy,
    ObservedSession,
    RuntimeSession,
    Tool,
)

plugin_api = 1


class CoreMLRuntime:
    """See the module."""

    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    suffix = ".mlpackage"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside a package without running it.

        Raises:
            FileRejected: The package is damaged or hostile.
        """
        return inspect_package(Package(path))

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


PLUGIN = CoreMLRuntime()
