"""The steps of one variant: whether they fit together, and the tasks that they become."""

from __future__ import annotations

from typing import Any

from mobilesdk.core.form import Needs
from mobilesdk.core.scheme import Request
from mobilesdk.core.step import StepConfig
from mobilesdk.data.sources import source_digest
from mobilesdk.errors import InvalidDataset, Place
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import step_key
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.task_graph import Findings, Graph, VariantTasks
from mobilesdk.pipeline.tasks import Task
from mobilesdk.plugins import (
    Kind,
    ObservingRuntime,
    Tool,
    compressor,
    exporter,
    frontend,
    runtime,
)
from mobilesdk.targets import Profile, Target, load_profile, shipped_profiles
from mobilesdk.verify.record import VerifyConfig


class Chain:
    """Adds the steps of one variant to the graph, after checking that they fit together."""

    def __init__(
        self,
        graph: Graph,
        findings: Findings,
        model: ReadModel,
        target: Target,
        name: str,
        profile: Profile,
        place: Place,
    ) -> None:
        self._graph = graph
        self._findings = findings
        self._model = model
        self._target = target
        self._name = name
        self._profile = profile
        self._place = place
        self._sets = self._graph.sets[model.request.name]
        self._float_ops = self._graph.float_ops.get(model.request.name)
        contract = model.summary.contract
        self._states = ", ".join(state.name for state in contract.states)
        self._dimensions = ", ".join(map(str, contract.dimensions))
        self._reasons: list[str] = []
        self._source = frontend(model.frontend)
        self._tools: list[Tool] = [*self._source.tools]

    def add(self) -> None:
        """Add the tasks to the graph, or note why they cannot be."""
        steps = [(step.method, step.typed_config()) for step in self._profile.compress]
        request = self._check_steps(steps)
        self._check_export(request)
        if self._findings.explicit or not self._reasons:
            self._findings.tools.extend(self._tools)
        if self._reasons:
            name = self._model.request.name
            self._findings.refuse(name, self._target.id, self._reasons, self._place)
            return
        last = self._model.key
        chain = []
        for method, config in steps:
            last = self._add_step(method, config, last)
            chain.append(last)
        export = self._add_export(request, last)
        self._graph.variants.append(
            VariantTasks(
                model=self._model,
                target=self._target,
                profile_name=self._name,
                profile=self._profile,
                chain=tuple(chain),
                export=export,
                verify=self._add_verify(export),
                layers=self._add_layers(export),
                tools=tuple(self._tools),
                overrides=self._overrides(),
            )
        )

    def _check_steps(self, steps: list[tuple[str, StepConfig]]) -> Request:
        """Check that every method takes what the one before it gives; methods keep the form."""
        form, traits, request = self._source.form, self._source.traits, Request()
        for method, config in steps:
            plugin = compressor(method)
            self._tools.extend(plugin.tools)
            if form not in plugin.accepts:
                self._reasons.append(f"{method} does not work on a {form.value}")
            for trait in sorted(plugin.requires - traits):
                self._reasons.append(f"{method} needs a model that is {trait.value}")
            for trait in sorted(plugin.forbids & traits):
                self._reasons.append(f"{method} cannot follow: the model is {trait.value} already")
            if plugin.needs(config) is not Needs.NONE:
                self._check_set(method)
            if self._states and not getattr(plugin, "takes_states", False):
                self._reasons.append(
                    f"{method} does not work on models with states; the model has {self._states}"
                )
            if self._dimensions and not getattr(plugin, "takes_dimensions", False):
                self._reasons.append(
                    f"{method} does not work on models with dimensions; the model has "
                    f"{self._dimensions}"
                )
            self._reasons.extend(plugin.refuse(config, self._model.summary))
            traits |= plugin.adds
            request = plugin.request(config, request)
        return request

    def _check_export(self, request: Request) -> None:
        export = self._target.export
        plugin = exporter(export.format)
        self._tools.extend([*plugin.tools, *runtime(export.format).tools])
        if self._source.form not in plugin.accepts:
            self._reasons.append(f"{export.format} is not made from a {self._source.form.value}")
        if plugin.needs(request) is not Needs.NONE:
            self._check_set(export.format)
            self._refuse_sequences(export.format)
        if self._states and not plugin.options.takes_states:
            self._reasons.append(f"{export.format} keeps no states; the model has {self._states}")
        if self._dimensions and (why := plugin.options.refuses_dimensions):
            self._reasons.append(
                f"{export.format} takes no model with dimensions: {why}; the model has "
                f"{self._dimensions}"
            )
        self._reasons.extend(plugin.refuse(export.typed_options(), request, self._model.summary))
        if self._float_ops and not isinstance(runtime(export.format), ObservingRuntime):
            self._reasons.append(
                f"the runtime {export.format!r} shows no values inside an artifact; "
                "leave out --layers"
            )
        if self._float_ops and self._states:
            self._reasons.append(
                "--layers compares single runs, and samples of a model with states are sequences"
            )
        if self._float_ops and self._dimensions:
            self._reasons.append(
                f"--layers compares runs of one shape, and the model has {self._dimensions}"
            )

    def _refuse_sequences(self, who: str) -> None:
        if self._states:
            self._reasons.append(
                f"{who} calibrates with single runs, and samples of a model with states "
                f"({self._states}) are sequences"
            )

    def _check_set(self, who: str) -> None:
        if "calibration" not in self._sets and self._model.request.calibration is None:
            error = InvalidDataset(
                f"{self._model.request.name} for {self._target.id}: {who} needs a calibration set.",
                hint="give --calibration, or name it in mobilesdk.toml.",
            )
            self._findings.problems.extend(error.problems)

    def _overrides(self) -> tuple[str, ...]:
        """Name what the project changed: each limit, then the profile.

        A file of the project that has the name of a shipped profile is a changed one.
        """
        before = self._profile.budget.model_dump()
        found = [
            f"budget.{table}.{limit}"
            for table, limits in self._budget().items()
            for limit, value in limits.items()
            if value != before[table][limit]
        ]
        chosen = self._target.id in self._model.request.profiles
        replaced = self._name in shipped_profiles() and self._profile != load_profile(self._name)
        return (*found, *(["profile"] if chosen or replaced else []))

    def _budget(self) -> dict[str, dict[str, Any]]:
        """Give the profile's budget with the limits that the project sets in place of its own."""
        project = self._model.request.budget
        changed = {} if project is None else project.model_dump(exclude_unset=True)
        tables = self._profile.budget.model_dump()
        return {name: limits | changed.get(name, {}) for name, limits in tables.items()}

    def _add_step(self, method: str, config: StepConfig, before: str) -> str:
        plugin = compressor(method)
        return self._task(
            TaskKind.COMPRESS,
            Kind.COMPRESSORS,
            method,
            config.model_dump(mode="json"),
            self._inputs(before, plugin.needs(config)),
            plugin.tools,
            title=method,
            size_bytes=self._model.summary.float_size_bytes,
        )

    def _add_export(self, request: Request, before: str) -> str:
        export = self._target.export
        plugin = exporter(export.format)
        return self._task(
            TaskKind.EXPORT,
            Kind.EXPORTERS,
            export.format,
            export.typed_options().model_dump(mode="json"),
            self._inputs(before, plugin.needs(request)),
            plugin.tools,
            title=f"export {export.format}",
            size_bytes=self._model.summary.size_bytes(request),
        )

    def _inputs(self, before: str, needs: Needs) -> dict[str, str]:
        inputs = {"model": before}
        if needs is not Needs.NONE:
            inputs["calibration"] = self._sets.get("calibration", "")
        return inputs

    def _add_verify(self, export: str) -> str:
        table = self._target.export
        takes_fallback = exporter(table.format).options.takes_fallback
        config = VerifyConfig(
            budget=self._profile.budget.model_validate(self._budget()),
            fallback=table.fallback if takes_fallback else None,
            allow_partial=table.allow_partial,
            metrics=self._model.request.metrics,
        )
        content = config.model_dump(mode="json")
        for metric in content["metrics"]:
            metric["function"] = source_digest(metric["function"])
        inputs = {
            "read": self._model.key,
            "artifact": export,
            "reference": self._graph.references[self._model.request.name],
        }
        if "evaluation" in self._sets:
            inputs["evaluation"] = self._sets["evaluation"]
        return self._task(
            TaskKind.VERIFY,
            Kind.RUNTIMES,
            table.format,
            config.model_dump(mode="json"),
            inputs,
            runtime(table.format).tools,
            title="verify",
            content=content,
        )

    def _add_layers(self, export: str) -> str | None:
        if self._float_ops is None:
            return None
        name = self._target.export.format
        inputs = {
            "read": self._model.key,
            "artifact": export,
            "float_ops": self._float_ops,
            "evaluation": self._sets["evaluation"],
        }
        tools = runtime(name).tools
        return self._task(TaskKind.LAYERS, Kind.RUNTIMES, name, {}, inputs, tools, title="layers")

    def _task(
        self,
        kind: TaskKind,
        plugin_kind: Kind,
        plugin: str,
        config: Any,
        inputs: dict[str, str],
        tools: tuple[Tool, ...],
        *,
        title: str,
        content: Any = None,
        size_bytes: int = 0,
    ) -> str:
        """Add a task under the key of all that its result depends on; give the key.

        Args:
            kind: What is done.
            plugin_kind: Folder of the plug-in that does it.
            plugin: Its name.
            config: Its configuration.
            inputs: Role → key of the input.
            tools: Toolchains whose versions matter.
            title: For people.
            content: What of the configuration the key is made from, if not all as it is.
            size_bytes: About what it writes.
        """
        key = step_key(
            kind,
            plugin_kind=plugin_kind,
            plugin=plugin,
            config=config if content is None else content,
            inputs=inputs,
            tools=tools,
        )
        name = self._model.request.name
        return self._graph.add(
            Task(key, kind, plugin, config, inputs, title, name, (self._target.id,), size_bytes)
        )
