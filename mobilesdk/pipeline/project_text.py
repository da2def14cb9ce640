"""The text of a new ``mobilesdk.toml``: what was read of a model, and what is left to fill in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mobilesdk.core.contract import (
    AudioInput,
    Contract,
    ImageInput,
    InputSpec,
    OutputSpec,
    TokenInput,
)
from mobilesdk.core.plan import Plan, PlannedVariant
from mobilesdk.core.source import Reference
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.request import ModelRequest
from mobilesdk.pipeline.task_graph import Graph, VariantTasks
from mobilesdk.pipeline.toml_text import toml_string, toml_value
from mobilesdk.targets import Budget

_HEAD = """\
# What `mobilesdk plan` and `mobilesdk build` read when no MODEL is given.
# Paths are relative to this file.
schema_version = 1
"""
_MODEL_COMMENT = "# The name is that of the files in the bundle."
_CONTRACT_COMMENT = """\
# What goes in and comes out, as read from the model. This table replaces what the model itself
# states; without it the model's own contract holds.
#   preparation: { kind = "image", size = [height, width], mean = …, std = … } for RGB pixels 0…255,
#     { kind = "tokens", vocabulary_size = … } for ids, { kind = "audio", sample_rate_hz = … },
#     { kind = "array" } for prepared numbers
#   kind of an output: classification, embedding, boxes, mask, tokens or other"""

_EXTRAS = """\
# A metric of your own on outputs and labels; the evaluation set has labels, or `labels` names them.
# [[models.metrics]]
# name = "accuracy"
# function = "my_metrics.py:accuracy"
# max_drop = 0.01 # below the float model; or min, max

# Files that the app needs beside the artifact: labels, tokenizer, postprocessing or other.
# [[models.assets]]
# path = "labels.txt"
# role = "labels\""""


def project_text(model: ReadModel, plan: Plan, graph: Graph, *, folder: Path) -> str:
    """Write the project file of a model.

    Args:
        model: As it was read; its request names the sets, if there are any.
        plan: For every shipped target: what is planned is in reach.
        graph: The tasks of the plan.
        folder: Of the file; paths in it are relative to this.
    """
    lines = [_HEAD, *_targets(plan, graph), "", "[[models]]", _MODEL_COMMENT]
    request = model.request
    lines += [
        f"name = {toml_string(request.name)}",
        *_reference_lines(request, folder),
        "",
        *_sets(model, graph, folder),
        "",
        "# Profiles in place of those of the targets; `mobilesdk targets` lists them.",
        '# profiles = { android-xnnpack = "fp16" }',
        "",
        _CONTRACT_COMMENT,
        *contract_lines(model.summary.contract, model.summary.family),
        "",
        *_gates(model.summary.contract, graph.variants),
    ]
    return "\n".join(lines) + "\n"


def _reference_lines(request: ModelRequest, folder: Path) -> Iterator[str]:
    reference = Reference.parse(request.reference)
    if reference.path is not None:
        reference = replace(reference, path=Path(_relative(reference.path, folder)))
    yield f"model = {toml_string(str(reference))}"
    if request.weights is not None:
        yield f"weights = {toml_string(_relative(request.weights, folder))}"
    if request.trust_model:
        yield "trust_model = true # files of the model may run code when they are loaded"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()


def _targets(plan: Plan, graph: Graph) -> Iterator[str]:
    yield "# Device tiers: names of shipped targets, or files and folders of your own."
    yield "targets = ["
    for planned, tasks in zip(plan.variants, graph.variants, strict=True):
        yield f"  {toml_string(planned.target)}, # {_planned(planned, tasks, graph)}"
    for each in plan.unreachable:
        reason = " ".join(each.reason.split())
        yield f"  # {toml_string(each.target)}, # out of reach: {reason}"
    yield "]"


def _planned(planned: PlannedVariant, tasks: VariantTasks, graph: Graph) -> str:
    needs = "; needs calibration" if _calibrates(tasks, graph) else ""
    return f"{planned.format}, profile {planned.profile}{needs}"


def _calibrates(tasks: VariantTasks, graph: Graph) -> bool:
    return any("calibration" in graph.tasks[key].inputs for key in tasks.steps)


def _sets(model: ReadModel, graph: Graph, folder: Path) -> Iterator[str]:
    yield f"# Two sets that share no sample, 32 samples or more in each: {_kinds_of_set(model)}."
    if any(isinstance(each.preparation, TokenInput) for each in model.summary.contract.inputs):
        yield "# Texts (.txt) need a function that makes the inputs of one:"
        yield '# tokenizer = "package.module:function"'
    count = sum(_calibrates(tasks, graph) for tasks in graph.variants)
    roles = {
        "calibration": (model.request.calibration, f"needed for {count} of the targets above"),
        "evaluation": (model.request.evaluation, "without it nothing is verified"),
    }
    for role, (path, why) in roles.items():
        if path is None:
            yield f"# {role} = {toml_string(f'data/{role}')} # {why}"
        else:
            yield f"{role} = {toml_string(_relative(path, folder))} # {why}"


def _kinds_of_set(model: ReadModel) -> str:
    inputs = model.summary.contract.inputs
    own = "package.module:iterable"
    if len(inputs) != 1:
        return f"a .npz with the arrays {', '.join(each.name for each in inputs)}, or {own}"
    prepared = f".npz with the array {inputs[0].name}, .npy or {own}"
    kinds = {ImageInput: "images", AudioInput: ".wav files"}
    found = kinds.get(type(inputs[0].preparation))
    return f"a {prepared}" if found is None else f"a folder of {found}, {prepared}"


def contract_lines(contract: Contract, family: str) -> Iterator[str]:
    """Write a contract as the table of a project's last model; labels stay where they are."""
    yield "[models.contract]"
    yield f"family = {toml_string(family)} # which profile of a target applies"
    if contract.labels is not None:
        yield f"# the {len(contract.labels)} labels are those of the model"
    for what, specs in (("inputs", contract.inputs), ("outputs", contract.outputs)):
        for spec in specs:
            yield f"\n[[models.contract.{what}]]"
            for key, value in _fields(spec).items():
                yield f"{key} = {toml_value(value)}"
    for dimension in contract.dimensions:
        yield "\n[[models.contract.dimensions]]"
        for key, value in dimension.model_dump(mode="json", exclude_defaults=True).items():
            yield f"{key} = {toml_value(value)}"


def _fields(spec: InputSpec | OutputSpec) -> dict[str, Any]:
    """Give what a project states of an input or output; what varies is read from the model."""
    return spec.model_dump(mode="json", exclude_none=True, exclude={"varying"})


def _gates(contract: Contract, variants: list[VariantTasks]) -> Iterator[str]:
    """Write which limits the profiles set, and how to replace them."""
    yield "# Gates: limits that replace those of the profiles above one by one. These are theirs:"
    kinds = ("any", *dict.fromkeys(spec.kind for spec in contract.outputs))
    for name, profile in {each.profile_name: each.profile for each in variants}.items():
        yield f"#   {name}: {_limits(profile.budget, kinds)}"
    yield "# [models.budget.any]"
    yield "# min_sqnr_db = 20.0"
    yield ""
    yield _EXTRAS


def _limits(budget: Budget, kinds: tuple[str, ...]) -> str:
    limits = {
        f"{kind}.{name}": value
        for kind in kinds
        for name, value in getattr(budget, kind).model_dump(exclude_defaults=True).items()
    }
    return ", ".join(f"{name} {value:g}" for name, value in limits.items()) or "none"
