"""Write a project file for a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.api.running import PathLike, add_plugins, ignore, new_workers, opened_cache

if TYPE_CHECKING:
    from mobilesdk.pipeline.initialise import Project
    from mobilesdk.pipeline.tasks import Listener


def init(
    model: str,
    *,
    output: PathLike = "mobilesdk.toml",
    calibration: PathLike | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    weights: PathLike | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    plugins: Sequence[PathLike] = (),
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Project:
    """Read a model and write ``mobilesdk.toml`` for it, with comments on what to fill in.

    Args:
        model: As for `plan`.
        output: The file; what it names is relative to its folder.
        calibration: As for `plan`; a place to fill in when it is ``None``.
        evaluation: As for `plan`; a place to fill in when it is ``None``.
        contract: As for `plan`; it is written into the file.
        weights: As for `plan`.
        trust_model: As for `plan`.
        tokenizer: As for `plan`.
        plugins: As for `plan`.
        overwrite: Replace the file if it exists.
        listener: Called with every event.

    Returns:
        The file, the targets in reach, and the others with the reason.

    Raises:
        OutputExists: The file is there, and ``overwrite`` is false.
        UsageError: The model cannot be read, or a set does not exist.
        ToolchainMissing: The model's framework is not installed.
        WriteFailed: The file system refused.
    """
    from mobilesdk.pipeline.initialise import write_project
    from mobilesdk.pipeline.request import BuildRequest, single

    asked = single(
        model,
        calibration=calibration,
        evaluation=evaluation,
        contract=contract,
        weights=weights,
        trust_model=trust_model,
        tokenizer=tokenizer,
    )
    request = BuildRequest(models=(asked,), plugins=add_plugins(plugins))
    with opened_cache() as store, new_workers() as workers:
        return write_project(
            request,
            Path(output),
            overwrite=overwrite,
            cache=store,
            workers=workers,
            listener=listener or ignore,
        )
