"""Look inside an artifact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.api.running import PathLike, add_plugins, ignore, new_workers, opened_cache
from mobilesdk.errors import InvalidModel, UsageError

if TYPE_CHECKING:
    from mobilesdk.core.artifact import ArtifactInfo
    from mobilesdk.core.layers import LayerReport, OpProfile
    from mobilesdk.pipeline.inspection import Inspector
    from mobilesdk.pipeline.tasks import Listener


def inspect(
    artifact: PathLike, *, target: str | None = None, plugins: Sequence[PathLike] = ()
) -> ArtifactInfo:
    """Tell what is inside an artifact, without running it and without a toolchain.

    Args:
        artifact: ``.mlpackage``, ``.pte`` or ``.tflite``, or a bundle that holds it.
        target: Whose artifact it is, in a bundle.
        plugins: Files of plug-ins.

    Raises:
        UsageError: No runtime reads such a file, or the bundle has no such target.
        FileRejected: The file is damaged or hostile.
    """
    from mobilesdk.pipeline.verification import runtime_for
    from mobilesdk.plugins import runtime

    add_plugins(plugins)
    path = _artifact(artifact, target)
    return runtime(runtime_for(path)).inspect(path)


def inspect_layers(
    artifact: PathLike,
    *,
    model: str | None,
    evaluation: PathLike | None,
    contract: PathLike | None = None,
    weights: PathLike | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    target: str | None = None,
    samples: int = 8,
    plugins: Sequence[PathLike] = (),
    listener: Listener | None = None,
) -> LayerReport:
    """Compare the output of every op of an artifact with the float model.

    Args:
        artifact: As for `inspect`.
        model: The float model; a bundle does not hold it.
        evaluation: The set that both run on.
        contract: As for `plan`.
        weights: As for `plan`.
        trust_model: As for `plan`.
        tokenizer: As for `plan`.
        target: As for `inspect`.
        samples: How many samples of the set are taken, or all if there are fewer.
        plugins: Files of plug-ins.
        listener: Called with every event.

    Raises:
        UsageError: The model or the set is missing, or the values cannot be seen here.
        FileRejected: The artifact is damaged or hostile.
    """
    from mobilesdk.pipeline.request import single

    path = _artifact(artifact, target)
    if model is None or evaluation is None:
        raise InvalidModel(
            "Layers are compared with the float model on samples.",
            hint="give --model file.py:function and --evaluation.",
        )
    with _inspector(plugins, listener) as inspector:
        request = single(
            model,
            evaluation=evaluation,
            contract=contract,
            weights=weights,
            trust_model=trust_model,
            tokenizer=tokenizer,
        )
        return inspector.layers(path, request, samples)


def inspect_profile(
    artifact: PathLike,
    *,
    target: str | None = None,
    runs: int = 20,
    plugins: Sequence[PathLike] = (),
    listener: Listener | None = None,
) -> OpProfile:
    """Time every op of an artifact on this host, which tells nothing sure about a device.

    Args:
        artifact: As for `inspect`.
        target: As for `inspect`.
        runs: Measured runs.
        plugins: Files of plug-ins.
        listener: Called with every event.

    Raises:
        UsageError: Its ops cannot be timed here.
        FileRejected: The artifact is damaged or hostile.
    """
    path = _artifact(artifact, target)
    with _inspector(plugins, listener) as inspector:
        return inspector.profile(path, runs)


def _artifact(path: PathLike, target: str | None) -> Path:
    """Give the path of an artifact, or of that of a target in a bundle."""
    from mobilesdk.pipeline.inspection import artifact_for
    from mobilesdk.pipeline.places import look_up

    place = look_up(Path(path))
    if not place.exists():
        raise UsageError(f"{place} does not exist.", hint="give the path of an artifact.")
    return place if target is None else artifact_for(place, target)


@contextmanager
def _inspector(plugins: Sequence[PathLike], listener: Listener | None) -> Iterator[Inspector]:
    from mobilesdk.pipeline.inspection import Inspector

    files = add_plugins(plugins)
    with opened_cache() as store, new_workers() as workers:
        yield Inspector(store, workers, listener or ignore, files)
