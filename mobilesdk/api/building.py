"""Plan a build, and run it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.api.running import (
    MEMORY_LIMIT_BYTES,
    TIME_LIMIT_S,
    PathLike,
    add_plugins,
    ignore,
    new_workers,
    opened_cache,
)

if TYPE_CHECKING:
    from mobilesdk.core.plan import Plan
    from mobilesdk.pipeline.build import BuildResult
    from mobilesdk.pipeline.tasks import Listener


def plan(
    model: str | None = None,
    *,
    targets: Sequence[PathLike] = (),
    calibration: PathLike | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    weights: PathLike | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    plugins: Sequence[PathLike] = (),
    allow_small_calibration: bool = False,
    layers: int = 0,
    listener: Listener | None = None,
) -> Plan:
    """Tell what `build` would do; reads the models and checks their sets.

    Args:
        model: ``package.module:factory``, ``file.py:function``, a ``.pt2`` or ``.keras`` file, or
            the folder of a SavedModel; ``mobilesdk.toml`` in the current folder is read when it is
            ``None``.
        targets: Names of shipped targets, files, or folders of files; all shipped ones in reach
            when empty.
        calibration: Folder of images, recordings or texts, ``.npz``, ``.npy``, ``.txt``, or
            ``package.module:iterable``.
        evaluation: Another set like it; parity is measured on it.
        contract: JSON file that overrides or completes the model's contract.
        weights: State file (``.safetensors``, ``.pt``) for the module that a factory gives.
        trust_model: Let files of the model run code when they are loaded.
        tokenizer: ``package.module:function`` or ``file.py:function`` that makes the inputs of a
            text, for sets of texts.
        plugins: Files of plug-ins.
        allow_small_calibration: Accept fewer than 32 samples, in both sets.
        layers: Samples of the evaluation set on which the output of every op is compared with the
            float model, or all if there are fewer; 0: none is compared.
        listener: Called with every event.

    Returns:
        The plan, with every problem that was found.

    Raises:
        UsageError: The model cannot be read.
        ToolchainMissing: The model's framework is not installed.
    """
    from mobilesdk.pipeline.build import make_plan
    from mobilesdk.pipeline.project import read_request

    request = read_request(
        model,
        targets=targets,
        calibration=calibration,
        evaluation=evaluation,
        contract=contract,
        weights=weights,
        trust_model=trust_model,
        tokenizer=tokenizer,
        plugins=add_plugins(plugins),
        allow_small_calibration=allow_small_calibration,
        layer_sample_count=layers,
    )
    with opened_cache() as store, new_workers() as workers:
        found, _, _ = make_plan(request, store, workers, listener or ignore)
    return found


def build(
    model: str | None = None,
    *,
    output: PathLike,
    targets: Sequence[PathLike] = (),
    calibration: PathLike | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    weights: PathLike | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    plugins: Sequence[PathLike] = (),
    allow_small_calibration: bool = False,
    layers: int = 0,
    overwrite: bool = False,
    time_limit_s: float = TIME_LIMIT_S,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    listener: Listener | None = None,
) -> BuildResult:
    """Build a verified variant for every target into one bundle.

    Args:
        model: As for `plan`.
        output: Folder of the bundle.
        targets: As for `plan`.
        calibration: As for `plan`.
        evaluation: As for `plan`.
        contract: As for `plan`.
        weights: As for `plan`.
        trust_model: As for `plan`.
        tokenizer: As for `plan`.
        plugins: As for `plan`.
        allow_small_calibration: As for `plan`.
        layers: As for `plan`; each variant then has a record of its layers.
        overwrite: Replace the output if it exists.
        time_limit_s: Wall time of one step, seconds.
        memory_limit_bytes: Resident memory of one step.
        listener: Called with every event.

    Returns:
        The manifest, the variants that failed, and the exit code of the command. A bundle with
        failed gates or failed variants is written, with ``releasable: false``.

    Raises:
        UsageError: A model, a set or the plan cannot be used; nothing was written.
        ToolchainMissing: A toolchain is not installed; nothing was written.
        StepFailed: No variant could be built; nothing was written.
    """
    from mobilesdk.pipeline.build import run_build
    from mobilesdk.pipeline.project import read_request

    request = read_request(
        model,
        targets=targets,
        calibration=calibration,
        evaluation=evaluation,
        contract=contract,
        weights=weights,
        trust_model=trust_model,
        tokenizer=tokenizer,
        plugins=add_plugins(plugins),
        allow_small_calibration=allow_small_calibration,
        layer_sample_count=layers,
    )
    with opened_cache() as store, new_workers(time_limit_s, memory_limit_bytes) as workers:
        return run_build(
            request,
            Path(output),
            overwrite=overwrite,
            cache=store,
            workers=workers,
            listener=listener or ignore,
        )
