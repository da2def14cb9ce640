"""Replay the goldens of a bundle in workers."""

from __future__ import annotations

import time
from pathlib import Path

from mobilesdk.bundle.manifest import ModelEntry, Variant, resolve
from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.errors import MobileSDKError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import Job, TaskKind
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.preloading import preloads
from mobilesdk.pipeline.schedule import Event, Listener, Task
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
        self._workers = workers
        self._listener = listener
        self._plugin_files = plugin_files

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
        key = f"{model.name} {variant.target}"
        task = Task(
            key, TaskKind.REPLAY, variant.format, {}, {}, "replay", model.name, (variant.target,)
        )
        started_s = time.monotonic()
        self._listener(Event("started", task))
        try:
            replay = self._run(model, variant, variant.expected_outputs)
        except MobileSDKError as error:
            seconds = time.monotonic() - started_s
            self._listener(Event("failed", task, error.message, seconds=seconds))
            return Check(subject=subject, name="goldens", verdict="failed", detail=error.message)
        self._listener(Event("finished", task, seconds=time.monotonic() - started_s))
        return Check(
            subject=subject,
            name="goldens",
            verdict="passed" if replay.passed else "failed",
            detail=str(replay),
        )

    def _run(self, model: ModelEntry, variant: Variant, expected: str) -> Replay:
        with self._cache.scratch("replay") as folder:
            job = Job(
                kind=TaskKind.REPLAY,
                plugin=variant.format,
                plugin_files=self._plugin_files,
                preloads=preloads(TaskKind.REPLAY, variant.format),
                config={
                    "artifact": str(resolve(self._bundle, variant.artifact)),
                    "contract": model.contract.model_dump(mode="json"),
                    "inputs": str(resolve(self._bundle, model.golden_inputs)),
                    "expected": str(resolve(self._bundle, expected)),
                },
                output=folder,
            )
            self._workers.run(job, lambda *_: None)
            return Replay.model_validate_json((folder / REPLAY_NAME).read_bytes())
