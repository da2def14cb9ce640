"""Every ability of the command line, from Python.

    >>> import mobilesdk
    >>> result = mobilesdk.build("model.py:build", calibration="photos", output="bundle")

Progress goes to ``listener``; results are frozen values; what goes wrong is a `MobileSDKError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import InvalidModel, UsageError

if TYPE_CHECKING:
    from mobilesdk.core.artifact import ArtifactInfo
    from mobilesdk.core.layers import LayerReport, OpProfile
    from mobilesdk.core.plan import Plan
    from mobilesdk.pipeline.build import BuildResult
    from mobilesdk.pipeline.cache import Cache
    from mobilesdk.pipeline.doctor import Diagnosis
    from mobilesdk.pipeline.inspection import Inspector
    from mobilesdk.pipeline.launch import Workers
    from mobilesdk.pipeline.request import BuildRequest
    from mobilesdk.pipeline.schedule import Event, Listener
    from mobilesdk.pipeline.verification import VerifyReport

PathLike = str | Path

TIME_LIMIT_S = 3600.0
MEMORY_LIMIT_BYTES = 16_000_000_000


class CacheState(Frozen):
    """What the cache holds, and what was removed from it."""

    root: Path
    count: int
    size_bytes: int
    removed_count: int = 0
    removed_bytes: int = 0


def plan(
    model: str | None = None,
    *,
    targets: Sequence[PathLike] = (),
    calibration: PathLike | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    plugins: Sequence[PathLike] = (),
    allow_small_calibration: bool = False,
    listener: Listener | None = None,
) -> Plan:
    """Tell what `build` would do; reads the models and checks their sets.

    Args:
        model: ``package.module:factory`` or ``file.py:function``; ``mobilesdk.toml`` in the current
            folder is read when it is ``None``.
        targets: Names of shipped targets, files, or folders of files; all shipped ones in reach
            when empty.
        calibration: Folder of images, ``.npz`` or ``.npy``.
        evaluation: Another set like it; parity is measured on it.
        contract: JSON file that overrides or completes the model's contract.
        plugins: Files of plug-ins.
        allow_small_calibration: Accept fewer than 32 samples, in both sets.
        listener: Called with every event.

    Returns:
        The plan, with every problem that was found.

    Raises:
        UsageError: The model cannot be read.
        ToolchainMissing: The model's framework is not installed.
    """
    from mobilesdk.pipeline.build import make_plan

    request = _request(
        model, targets, calibration, evaluation, contract, plugins, allow_small_calibration
    )
    with _cache() as store:
        found, _, _ = make_plan(request, store, _workers(), listener or _ignore)
    return found


def build(
    model: str | None = None,
    *,
    output: PathLike,
    targets: Sequence[PathLike] = (),
    calibration: PathLike | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    plugins: Sequence[PathLike] = (),
    allow_small_calibration: bool = False,
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
        plugins: As for `plan`.
        allow_small_calibration: As for `plan`.
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

    request = _request(
        model, targets, calibration, evaluation, contract, plugins, allow_small_calibration
    )
    with _cache() as store:
        return run_build(
            request,
            Path(output),
            overwrite=overwrite,
            cache=store,
            workers=_workers(time_limit_s, memory_limit_bytes),
            listener=listener or _ignore,
        )


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

    _use_plugins(plugins)
    path = _artifact(artifact, target)
    return runtime(runtime_for(path)).inspect(path)


def inspect_layers(
    artifact: PathLike,
    *,
    model: str | None,
    evaluation: PathLike | None,
    contract: PathLike | None = None,
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
        target: As for `inspect`.
        samples: How many samples of the set are taken, or all if there are fewer.
        plugins: Files of plug-ins.
        listener: Called with every event.

    Raises:
        UsageError: The model or the set is missing, or the values cannot be seen here.
        FileRejected: The artifact is damaged or hostile.
    """
    path = _artifact(artifact, target)
    if model is None or evaluation is None:
        raise InvalidModel(
            "Layers are compared with the float model on samples.",
            hint="give --model file.py:function and --evaluation.",
        )
    request = _request(model, (), None, evaluation, contract, plugins, False)
    with _inspector(plugins, listener) as inspector:
        return inspector.layers(path, request.models[0], samples)


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


def verify(
    path: PathLike,
    *,
    model: str | None = None,
    evaluation: PathLike | None = None,
    contract: PathLike | None = None,
    plugins: Sequence[PathLike] = (),
    listener: Listener | None = None,
) -> VerifyReport:
    """Check a bundle, or an artifact that somebody else built against its model.

    Of a bundle: every hash, every gate by its stored figure, every artifact from disk, and the
    goldens of each that can be run here.
    Of an artifact: its structure, and its parity with the model on the evaluation set.

    Args:
        path: A bundle or an artifact.
        model: The float model, for an artifact.
        evaluation: The set to measure parity on, for an artifact.
        contract: As for `plan`.
        plugins: Files of plug-ins.
        listener: Called with every event.

    Raises:
        FileRejected: The bundle or artifact is damaged or hostile.
        UsageError: An artifact was given without its model.
    """
    from mobilesdk.bundle.manifest import MANIFEST_NAME
    from mobilesdk.pipeline.verification import verify_bundle, verify_foreign

    _use_plugins(plugins)
    place = Path(path)
    files = tuple(Path(plugin).resolve() for plugin in plugins)
    if (place / MANIFEST_NAME).exists():
        with _cache() as store:
            return verify_bundle(place, store, _workers(), listener or _ignore, files)
    if not place.exists():
        raise UsageError(f"{place} does not exist.", hint="give a bundle or an artifact.")
    if model is None:
        raise InvalidModel(
            f"{place} is no bundle, and no model was given to compare it with.",
            hint="give --model file.py:function.",
        )
    request = _request(model, (), None, evaluation, contract, plugins, False)
    with _cache() as store:
        return verify_foreign(
            place, request.models[0], store, _workers(), listener or _ignore, files
        )


def doctor() -> Diagnosis:
    """Look at every toolchain: versions, known-bad combinations, the fix for each."""
    from mobilesdk.pipeline.doctor import diagnose

    return diagnose()


def cache(*, keep_bytes: int | None = None) -> CacheState:
    """Tell what the cache holds; remove the longest unused results beyond ``keep_bytes``.

    Raises:
        UsageError: Something is to be removed while a build uses the cache.
    """
    from mobilesdk.pipeline.cache import Cache, default_root

    store = Cache(default_root())
    removed = [] if keep_bytes is None else store.prune(keep_bytes)
    entries = store.entries()
    return CacheState(
        root=store.root,
        count=len(entries),
        size_bytes=sum(entry.size_bytes for entry in entries),
        removed_count=len(removed),
        removed_bytes=sum(entry.size_bytes for entry in removed),
    )


def _request(
    model: str | None,
    targets: Sequence[PathLike],
    calibration: PathLike | None,
    evaluation: PathLike | None,
    contract: PathLike | None,
    plugins: Sequence[PathLike],
    allow_small_calibration: bool,
) -> BuildRequest:
    from mobilesdk.pipeline.request import PROJECT_FILE, BuildRequest, read_project, single
    from mobilesdk.targets import load_targets

    _use_plugins(plugins)
    names = tuple(str(target) for target in targets)
    others: tuple[str, ...] = ()
    if model is None:
        if calibration or evaluation or contract:
            raise UsageError(
                "A set or a contract was given without a MODEL.",
                hint=f"give the MODEL, or name its sets in {PROJECT_FILE}.",
            )
        models, project_targets = read_project(Path(PROJECT_FILE))
        others = project_targets if names else ()
        names = names or project_targets
    else:
        models = (
            single(
                model,
                calibration=_path(calibration),
                evaluation=_path(evaluation),
                contract=_path(contract),
            ),
        )
    return BuildRequest(
        models=models,
        targets=names,
        other_targets=tuple(target.id for other in others for target, _ in load_targets(other)),
        plugins=tuple(Path(path).resolve() for path in plugins),
        allow_small_calibration=allow_small_calibration,
    )


def _use_plugins(plugins: Iterable[PathLike]) -> None:
    from mobilesdk.plugins import use_files

    use_files(Path(path) for path in plugins)


def _artifact(path: PathLike, target: str | None) -> Path:
    """Give the path of an artifact, or of that of a target in a bundle."""
    from mobilesdk.pipeline.inspection import artifact_for

    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist.", hint="give the path of an artifact.")
    return place if target is None else artifact_for(place, target)


@contextmanager
def _inspector(plugins: Sequence[PathLike], listener: Listener | None) -> Iterator[Inspector]:
    from mobilesdk.pipeline.inspection import Inspector

    _use_plugins(plugins)
    files = tuple(Path(plugin).resolve() for plugin in plugins)
    with _cache() as store:
        yield Inspector(store, _workers(), listener or _ignore, files)


def _path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


@contextmanager
def _cache() -> Iterator[Cache]:
    from mobilesdk.pipeline.cache import Cache, default_root

    store = Cache(default_root())
    with store.in_use():
        yield store


def _workers(seconds: float = TIME_LIMIT_S, memory_bytes: int = MEMORY_LIMIT_BYTES) -> Workers:
    from mobilesdk.pipeline.launch import Limits, Workers

    return Workers(Limits(seconds, memory_bytes))


def _ignore(_event: Event) -> None:
    """Listen to nothing."""
