"""Replay the goldens of a bundle in workers."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.bundle.canonical import sha256_json
from mobilesdk.bundle.manifest import ModelEntry, Variant, resolve
from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.running import Runner
from mobilesdk.pipeline.tasks import Listener, Task
from mobilesdk.plugins import runtime
from mobilesdk.verify.record import REPLAY_NAME, Replay


class Replayer:
    """Checks that the artifacts of a bundle give what they gave when they were built."""

    def __init__(
        self,
        bundle: Path,
        cache: Cache,
        workers: Workers,
        listener: Listener,
        plugin_files: tuple[Path, ...],
    ) -> None:
        self._bundle = bundle.resolve()
        self._cache = cache
        self._runner = Runner(cache, workers, listener, plugin_files)

    def check(self, model: ModelEntry, variant: Variant, info: ArtifactInfo) -> Check:
        """Replay the goldens of one variant.

        Raises:
            ToolchainMissing: Its runtime is not installed.
        """
        subject = f"{model.name} for {variant.target}"
        plugin = runtime(variant.format)
        refusal = plugin.refuses(info)
        if refusal or variant.expected_outputs is None:
            reason = refusal or "the bundle holds no expected outputs for it"
            return Check(subject=subject, name="goldens", verdict="not_evaluated", detail=reason)
        require(plugin.tools)
        config = {
            "artifact": str(resolve(self._bundle, variant.artifact)),
            "contract": model.contract.model_dump(mode="json"),
            "inputs": str(resolve(self._bundle, model.golden_inputs)),
            "expected": str(resolve(self._bundle, variant.expected_outputs)),
        }
        key = sha256_json([model.name, variant.target])
        name, targets = variant.format, (variant.target,)
        task = Task(key, TaskKind.REPLAY, name, config, {}, "replay", model.name, targets)
        try:
            replay = self._run(task)
        except MobileSDKError as error:
            return Check(subject=subject, name="goldens", verdict="failed", detail=error.message)
        return Check(
            subject=subject,
            name="goldens",
            verdict="passed" if replay.passed else "failed",
            detail=str(replay),
        )

    def _run(self, task: Task) -> Replay:
        with self._runner.begun(task) as run, self._cache.scratch("replay") as folder:
            run.work(folder, {})
            return Replay.model_validate_json((folder / REPLAY_NAME).read_bytes())
