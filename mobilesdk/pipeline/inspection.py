"""Look inside an artifact: values of its ops against the float model, and their times."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mobilesdk.bundle.manifest import read_manifest, resolve
from mobilesdk.core.layers import LayerReport, OpProfile
from mobilesdk.errors import UnknownName, UsageError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.doctor import require
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.planning import add_preparation
from mobilesdk.pipeline.preflight import missing_sets
from mobilesdk.pipeline.reading import Reader, ReadModel
from mobilesdk.pipeline.request import ModelRequest
from mobilesdk.pipeline.running import Runner
from mobilesdk.pipeline.schedule import Schedule
from mobilesdk.pipeline.steps import PROFILE_NAME
from mobilesdk.pipeline.task_graph import Graph
from mobilesdk.pipeline.tasks import Listener, Task
from mobilesdk.pipeline.verification import runtime_for
from mobilesdk.plugins import ObservingRuntime, ProfilingRuntime, Runtime, runtime
from mobilesdk.verify.layers import REPORT_NAME


def artifact_for(bundle: Path, target: str) -> Path:
    """Give the artifact that a bundle holds for a target.

    Raises:
        FileRejected: The manifest is damaged or hostile.
        UnknownName: It holds no such variant.
        UsageError: Several models have one.
    """
    manifest = read_manifest(bundle)
    variants = [variant for model in manifest.models for variant in model.variants]
    found = sorted({variant.artifact for variant in variants if variant.target == target})
    if not found:
        raise UnknownName("target in the bundle", target, {item.target for item in variants})
    if len(found) > 1:
        raise UsageError(
            f"The bundle holds several artifacts for {target}: {', '.join(found)}.",
            hint="give the path of one of them.",
        )
    return resolve(bundle, found[0])


class Inspector:
    """Runs what looks inside an artifact in workers; keeps nothing but the model and the set."""

    def __init__(
        self, cache: Cache, workers: Workers, listener: Listener, plugin_files: tuple[Path, ...]
    ) -> None:
        self._cache = cache
        self._workers = workers
        self._listener = listener
        self._plugin_files = plugin_files
        self._runner = Runner(cache, workers, listener, plugin_files)

    def layers(self, artifact: Path, request: ModelRequest, sample_count: int) -> LayerReport:
        """Compare the op outputs of an artifact with the float model.

        Args:
            artifact: The file or package.
            request: The model, with an evaluation set.
            sample_count: How many samples of the set are taken.

        Raises:
            FileRejected: The artifact is damaged or hostile.
            UsageError: Its values cannot be seen here.
            InvalidDataset: The set does not exist.
        """
        name, plugin = _usable(artifact)
        if not isinstance(plugin, ObservingRuntime):
            raise UsageError(
                f"The runtime {name!r} shows no values inside an artifact.",
                hint="compare the outputs alone: mobilesdk verify ARTIFACT --model MODEL.",
            )
        missing = missing_sets(request)
        if missing:
            raise missing[0]
        model = Reader(self._cache, self._workers, self._listener, self._plugin_files).read(request)
        if model.summary.contract.states:
            raise UsageError(
                "Ops are compared in single runs; samples of a model with states are sequences.",
                hint="compare the outputs alone: mobilesdk verify ARTIFACT --model MODEL.",
            )
        inputs = {
            "read": self._cache.folder(model.key),
            "evaluation": self._cache.folder(self._ingest(model)),
        }
        place = {"artifact": str(artifact.resolve())}
        with ExitStack() as stack:
            floats = stack.enter_context(self._cache.scratch("float-ops"))
            output = stack.enter_context(self._cache.scratch("layers"))
            config = {"count": sample_count}
            self._run(TaskKind.FLOAT_OPS, "", "float values", request.name, config, inputs, floats)
            inputs["float_ops"] = floats
            self._run(TaskKind.LAYERS, name, "layers", request.name, place, inputs, output)
            report = LayerReport.model_validate_json((output / REPORT_NAME).read_bytes())
        if report.refusal:
            raise UsageError(
                f"The values inside of {artifact.name} cannot be seen: {report.refusal}",
                hint="compare the outputs alone: mobilesdk verify ARTIFACT --model MODEL.",
            )
        return report

    def profile(self, artifact: Path, run_count: int) -> OpProfile:
        """Time the ops of an artifact on this machine.

        Args:
            artifact: The file or package.
            run_count: Measured runs.

        Raises:
            FileRejected: The artifact is damaged or hostile.
            UsageError: Its ops cannot be timed here.
        """
        name, plugin = _usable(artifact)
        if not isinstance(plugin, ProfilingRuntime):
            raise UsageError(
                f"The runtime {name!r} cannot time ops.",
                hint="times of a reference would tell nothing about a device.",
            )
        config = {"artifact": str(artifact.resolve()), "run_count": run_count}
        with self._cache.scratch("profile") as output:
            self._run(TaskKind.PROFILE, name, "profile", artifact.name, config, {}, output)
            return OpProfile.model_validate_json((output / PROFILE_NAME).read_bytes())

    def _ingest(self, model: ReadModel) -> str:
        """Prepare the evaluation set; give its key."""
        graph = Graph()
        add_preparation(graph, model, allow_small=True)  # figures are held to no limit
        key = graph.sets[model.request.name]["evaluation"]
        schedule = Schedule(
            graph.tasks, self._cache, self._workers, self._listener, self._plugin_files
        )
        failures = schedule.run([key])
        if failures:
            raise failures[key]
        return key

    def _run(
        self,
        kind: TaskKind,
        plugin: str,
        title: str,
        model: str,
        config: dict[str, Any],
        inputs: Mapping[str, Path],
        output: Path,
    ) -> None:
        task = Task(title.replace(" ", "-"), kind, plugin, config, {}, title, model, ())
        with self._runner.begun(task) as run:
            run.work(output, inputs)


def _usable(artifact: Path) -> tuple[str, Runtime]:
    """Give the runtime of an artifact that can run here."""
    name = runtime_for(artifact)
    plugin = runtime(name)
    refusal = plugin.refuses(plugin.inspect(artifact))
    if refusal:
        raise UsageError(f"{artifact.name} cannot run here. {refusal}")
    require(plugin.tools)
    return name, plugin
