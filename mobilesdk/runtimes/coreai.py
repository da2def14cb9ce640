"""Core AI assets: read without Apple's packages, and run by Apple's own runtime for Linux.

What it does:
    Reads an ``.aimodel``: every operation, and every weight decoded to the values that are computed
    with. Runs it with the runtime that Apple ships for Linux in coreai-core, on the CPU.

When to use:
    To check what an asset holds, and what Apple's own code makes of it, without a Mac.

Cost:
    To read: below a second. To run: a second or so an inference of a mobile image network, since
    the runtime for Linux has no fast kernels. It is for checking, and its times tell nothing.

Limits:
    The runtime for Linux computes on the CPU: what the Neural Engine or a GPU of a device rounds
    is not seen. States, shapes that are free, and images as inputs do not run here. The dialect
    that assets are written in is not documented; what is not known of it is refused.

References:
    https://developer.apple.com/documentation/coreai
    https://mlir.llvm.org/docs/BytecodeFormat/
"""

from __future__ import annotations

from pathlib import Path

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.coreai.inspection import inspect_asset
from mobilesdk.coreai.package import open_asset
from mobilesdk.plugins.contract import ExecutedBy, RuntimeSession, Tool

plugin_api = 1


class CoreAIRuntime:
    """See the module."""

    tools = (Tool(distribution="coreai-core", extra="coreai"),)
    preloads = ()
    suffix = ".aimodel"

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside an asset without running it and without Apple's packages.

        Raises:
            FileRejected: The asset is damaged or hostile.
        """
        return inspect_asset(open_asset(path))

    def executes_by(self, info: ArtifactInfo) -> ExecutedBy:
        """Tell that Apple's own runtime runs every asset."""
        del info
        return "runtime"

    def refuses(self, info: ArtifactInfo) -> str:
        """Give the reason why an asset cannot run here; empty if it can."""
        return "; ".join(info.unverifiable)

    def load(self, path: Path, contract: Contract, threads: int) -> RuntimeSession:
        """Compile and load an asset.

        Raises:
            FileRejected: The asset is damaged or hostile.
            ArtifactInvalid: It does not load, or has other inputs and outputs than the contract.
        """
        from mobilesdk.lowering.coreai.session import Session

        del threads  # the runtime for Linux takes no number of threads
        open_asset(path)
        return Session(path, contract)


PLUGIN = CoreAIRuntime()
