"""Core ML packages (ML Programs) without Apple's tools: read, decode, encode, rewrite, run.

::

    from mobilesdk.coreml import load
    outputs = load("model.mlpackage").predict({"image": pixels})

``load`` gives an `Executable`: a reference execution on this machine's CPU, not a measurement of a
device. ``package`` opens an ``.mlpackage``; ``model`` and ``program`` are its protobuf as typed
values; ``blob`` reads ``weight.bin``; ``constexpr`` decodes compressed constants; ``encode`` is its
inverse; ``weights`` lists what is stored; ``canonical`` rewrites a package to reproducible bytes.
Every reader treats its input as hostile and raises `FileRejected`. Only execution needs torch:
``executor``, and what it stands on, ``compile``, ``interpret``, ``inputs``, ``results``,
``precision``, ``literals``, ``scan``, ``type_check``, and the operations in ``ops``.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from mobilesdk.coreml.run_limits import RunLimits

if TYPE_CHECKING:
    from mobilesdk.coreml.executor import Executable
    from mobilesdk.coreml.precision import Mode

__all__ = ["RunLimits", "load"]


def load(
    path: str | PathLike[str],
    *,
    function: str | None = None,
    precision: Mode = "declared",
    accumulation: int | None = None,
    limits: RunLimits | None = None,
    low_memory: bool = False,
) -> Executable:
    """Load a function of a Core ML package for execution.

    Args:
        path: The ``.mlpackage``.
        function: Its name; the default function of the model if not given.
        precision: ``declared``: results rounded once to their declared types, sums in float32;
            ``float32``: float16 declarations ignored, to tell conversion from rounding;
            ``float16_accumulation``: sums of products rounded to float16 on the way.
        accumulation: Products between two roundings; only with ``float16_accumulation``.
        limits: What a run may take; those of `RunLimits` if not given.
        low_memory: Whether memory goes back to the system as soon as it is free, at some cost in
            time. For this, settings of the C library's allocator are changed, which hold for the
            whole process.

    Raises:
        FileRejected: The package does not exist, is damaged or hostile.
        UnsupportedProgram: It has operations or arguments that are not known; names all of them.
        ArtifactInvalid: Arguments are missing, or of types that their operations do not take.
        LimitExceeded: A declared tensor is larger than the limits allow.
        UsageError: There is no such function or precision, or the path is none.
        ToolchainMissing: torch is not installed.
    """
    from pathlib import Path

    from mobilesdk.coreml.package import Package
    from mobilesdk.errors import ToolchainMissing, UsageError

    try:
        from mobilesdk.coreml.executor import Executable
        from mobilesdk.coreml.precision import Precision
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolchainMissing(
            "Execution of ML Programs needs torch.", hint="pip install 'mobilesdk[torch]'"
        ) from error
    if not isinstance(path, str | PathLike) or not str(path):
        raise UsageError(
            f"{path!r} is not a path.", hint="give the path of an .mlpackage as a text or a Path."
        )
    if not isinstance(function, str | None):
        raise UsageError(f"{function!r} is no name of a function.", hint="give it as a text.")
    if not isinstance(limits, RunLimits | None):
        raise UsageError(f"{limits!r} are no limits.", hint="give limits=RunLimits(…).")
    chosen = Precision(precision, accumulation)
    package = Package(Path(path))
    return Executable(package, function, chosen, limits or RunLimits(), low_memory=low_memory)
