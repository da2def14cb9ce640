"""What a worker does for each kind of task. Runs in the worker only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mobilesdk.core.contract import Contract
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.data.ingest import ingest
from mobilesdk.data.stored import StoredSamples
from mobilesdk.errors import StepFailed
from mobilesdk.pipeline.job import Job, TaskKind, read_outcome
from mobilesdk.plugins import ProfilingRuntime, compressor, exporter, frontend, runtime
from mobilesdk.verify.layers import compare_layers
from mobilesdk.verify.record import VerifyConfig
from mobilesdk.verify.replay import replay_goldens
from mobilesdk.verify.variant import verify_artifact

SUMMARY_NAME = "summary.json"
EXPECTATION_NAME = "expectation.json"
PROFILE_NAME = "profile.json"


def run_step(job: Job, context: StepContext) -> Model | None:
    """Do the work of a job; give the model that it made, if it makes one."""
    if "calibration" in job.inputs and job.kind in (TaskKind.COMPRESS, TaskKind.EXPORT):
        context = replace(context, calibration=StoredSamples(job.inputs["calibration"]))
    return _STEPS[job.kind](job, context)


def read_summary(folder: Path) -> ModelSummary:
    """Read what a frontend wrote about a model."""
    return ModelSummary.model_validate_json((folder / SUMMARY_NAME).read_bytes())


def _model(job: Job, role: str = "model") -> Model:
    model = read_outcome(job.inputs[role]).model
    if model is None:
        raise AssertionError(f"the input {role!r} is no model")
    return model


def _made(model: object, job: Job) -> Model:
    if not isinstance(model, Model):
        raise StepFailed(f"{job.plugin} gave a {type(model).__name__} instead of a Model.")
    for path in (model.path, *model.sidecars.values()):
        if not path.exists():
            raise StepFailed(f"{job.plugin} names {path.name}, and has not written it.")
    return model


def _read(job: Job, context: StepContext) -> Model:
    return frontend(job.plugin).read(ModelSource.model_validate(job.config), context)


def _ingest(job: Job, context: StepContext) -> None:
    ingest(
        Path(job.config["path"]),
        read_summary(job.inputs["read"]).contract,
        context.output,
        allow_small=job.config["allow_small"],
        labels=None if job.config["labels"] is None else Path(job.config["labels"]),
        tokenizer=job.config["tokenizer"],
        report=context.report,
    )


def _reference(job: Job, context: StepContext) -> None:
    from mobilesdk.graph.reference import write_reference

    write_reference(
        job.inputs["read"],
        read_summary(job.inputs["read"]).contract,
        evaluation=_samples(job, "evaluation"),
        calibration=_samples(job, "calibration"),
        context=context,
    )


def _samples(job: Job, role: str) -> StoredSamples | None:
    return StoredSamples(job.inputs[role]) if role in job.inputs else None


def _compress(job: Job, context: StepContext) -> Model:
    plugin = compressor(job.plugin)
    return _made(plugin.apply(_model(job), plugin.config.model_validate(job.config), context), job)


def _export(job: Job, context: StepContext) -> Model:
    plugin = exporter(job.plugin)
    return _made(plugin.apply(_model(job), plugin.options.model_validate(job.config), context), job)


def _verify(job: Job, context: StepContext) -> None:
    config = VerifyConfig.model_validate(job.config)
    path, expectation = config.foreign, None
    if path is None:
        path = _model(job, "artifact").path
        content = (job.inputs["artifact"] / EXPECTATION_NAME).read_bytes()
        expectation = Expectation.model_validate_json(content)
    evaluation = _samples(job, "evaluation")
    verify_artifact(
        path,
        runtime_name=job.plugin,
        summary=read_summary(job.inputs["read"]),
        expectation=expectation,
        reference=job.inputs["reference"],
        evaluation=evaluation,
        config=config,
        context=context,
        labels=None if evaluation is None else evaluation.labels,
    )


def _replay(job: Job, context: StepContext) -> None:
    config = job.config
    replay_goldens(
        job.plugin,
        Path(config["artifact"]),
        Contract.model_validate(config["contract"]),
        inputs=Path(config["inputs"]),
        expected=Path(config["expected"]),
        context=context,
    )


def _float_ops(job: Job, context: StepContext) -> None:
    from mobilesdk.graph.observe import write_float_ops

    write_float_ops(
        _model(job, "read").path,
        read_summary(job.inputs["read"]).contract,
        StoredSamples(job.inputs["evaluation"]),
        job.config["count"],
        context,
    )


def _layers(job: Job, context: StepContext) -> None:
    built = "artifact" in job.inputs
    compare_layers(
        _model(job, "artifact").path if built else Path(job.config["artifact"]),
        runtime_name=job.plugin,
        contract=read_summary(job.inputs["read"]).contract,
        floats=job.inputs["float_ops"],
        samples=StoredSamples(job.inputs["evaluation"]),
        context=context,
    )


def _profile(job: Job, context: StepContext) -> None:
    plugin = runtime(job.plugin)
    if not isinstance(plugin, ProfilingRuntime):
        raise StepFailed(f"{job.plugin} cannot time ops.")
    profile = plugin.profile(Path(job.config["artifact"]), job.config["run_count"], context.threads)
    (context.output / PROFILE_NAME).write_text(profile.model_dump_json(), encoding="utf-8")


_STEPS: dict[TaskKind, Callable[[Job, StepContext], Model | None]] = {
    TaskKind.READ: _read,
    TaskKind.INGEST: _ingest,
    TaskKind.REFERENCE: _reference,
    TaskKind.COMPRESS: _compress,
    TaskKind.EXPORT: _export,
    TaskKind.VERIFY: _verify,
    TaskKind.REPLAY: _replay,
    TaskKind.FLOAT_OPS: _float_ops,
    TaskKind.LAYERS: _layers,
    TaskKind.PROFILE: _profile,
}
