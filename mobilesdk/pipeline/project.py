"""``mobilesdk.toml``: models, sets and targets of a project, where a caller gives no MODEL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from mobilesdk.core.contract import Contract
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.metric import UserMetric
from mobilesdk.core.source import Reference
from mobilesdk.errors import UsageError
from mobilesdk.pipeline.extras import (
    Asset,
    anchored_assets,
    anchored_metrics,
    anchored_set,
    anchored_tokenizer,
)
from mobilesdk.pipeline.places import look_up
from mobilesdk.pipeline.request import (
    MODEL_NAME,
    BuildRequest,
    ModelRequest,
    name_of,
    read_contract,
    single,
)
from mobilesdk.targets import Budget, load_targets
from mobilesdk.targets.faults import listing, validate
from mobilesdk.targets.files import placed, read_toml

PROJECT_FILE = "mobilesdk.toml"


def read_request(
    model: str | None,
    *,
    targets: Sequence[str | Path] = (),
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    contract: str | Path | None = None,
    weights: str | Path | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
    plugins: tuple[Path, ...] = (),
    allow_small_calibration: bool = False,
    layer_sample_count: int = 0,
) -> BuildRequest:
    """Make the request of a caller; without a model, complete it from ``mobilesdk.toml``.

    Raises:
        UsageError: There is no model and no such file, or what was given cannot be read.
    """
    names = tuple(map(str, targets))
    others: tuple[str, ...] = ()
    file = None if model is None else Reference.parse(model).path
    for given in (*names, calibration, evaluation, contract, weights, file):
        if given is not None:
            look_up(Path(given))
    if model is None:
        if calibration or evaluation or contract or weights or trust_model or tokenizer:
            raise UsageError(
                "A set, a contract, weights, trust or a tokenizer was given without a MODEL.",
                hint=f"give the MODEL, or name what goes with it in {PROJECT_FILE}.",
            )
        models, project_targets = read_project(Path(PROJECT_FILE))
        others = project_targets if names else ()
        names = names or project_targets
    else:
        models = (
            single(
                model,
                calibration=calibration,
                evaluation=evaluation,
                contract=contract,
                weights=weights,
                trust_model=trust_model,
                tokenizer=tokenizer,
            ),
        )
    return BuildRequest(
        models=models,
        targets=names,
        other_targets=tuple(target.id for other in others for target, _ in load_targets(other)),
        plugins=plugins,
        allow_small_calibration=allow_small_calibration,
        layer_sample_count=layer_sample_count,
    )


def _contract_form(value: object) -> str:
    return "file" if isinstance(value, str | Path) else "table"


_ProjectContract = Annotated[
    Annotated[Path, Tag("file")] | Annotated[Contract, Tag("table")], Discriminator(_contract_form)
]


class _ProjectModel(Frozen):
    model: str
    name: str = ""
    contract: _ProjectContract | None = None
    weights: Path | None = None
    trust_model: bool = False
    calibration: Path | None = None
    evaluation: Path | None = None
    profiles: dict[str, str] = {}
    budget: Budget | None = None
    labels: Path | None = None
    tokenizer: str | None = None
    metrics: tuple[UserMetric, ...] = ()
    assets: tuple[Asset, ...] = ()


class _Project(Frozen):
    schema_version: Literal[1]
    targets: tuple[str, ...] = ()
    models: tuple[_ProjectModel, ...]


def read_project(path: Path) -> tuple[tuple[ModelRequest, ...], tuple[str, ...]]:
    """Read ``mobilesdk.toml``: its models and its targets. Paths are relative to the file.

    Raises:
        UsageError: It is missing, is no TOML, or does not hold to the schema.
    """
    if not path.is_file():
        raise UsageError(
            f"No MODEL was given, and there is no file {path}.",
            hint="give a MODEL (file.py:function), or write the file: mobilesdk init MODEL.",
        )
    document, lines, unreadable = read_toml(path)
    project, problems = (None, []) if document is None else validate(_Project, document)
    if project is None:
        listed = [*unreadable, *placed(problems, path, lines)]
        raise listing(listed, UsageError, hint="correct the lines above.")
    models = tuple(_request(model, path.parent) for model in project.models)
    given = [model.name for model in models]
    if len(set(given)) < len(given):
        raise UsageError(f"{path} gives two models one name.", hint="give each model a name.")
    return models, tuple(_anchored_target(target, path.parent) for target in project.targets)


def _request(model: _ProjectModel, folder: Path) -> ModelRequest:
    name = model.name or name_of(model.model)
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a model.", hint="use letters, digits, . _ and -.")
    return ModelRequest(
        name=name,
        reference=str(Reference.parse(model.model).below(folder)),
        contract=_project_contract(model.contract, folder),
        weights=None if model.weights is None else folder / model.weights,
        trust_model=model.trust_model,
        calibration=anchored_set(model.calibration, folder),
        evaluation=anchored_set(model.evaluation, folder),
        profiles=model.profiles,
        budget=model.budget,
        labels=None if model.labels is None else folder / model.labels,
        tokenizer=anchored_tokenizer(model.tokenizer, folder),
        metrics=anchored_metrics(model.metrics, folder),
        assets=anchored_assets(model.assets, folder),
    )


def _project_contract(given: Path | Contract | None, folder: Path) -> Contract | None:
    return read_contract(folder / given) if isinstance(given, Path) else given


def _anchored_target(target: str, folder: Path) -> str:
    return str(folder / target) if "/" in target or target.endswith(".toml") else target
