"""What a caller asks for: models, sets and targets, from arguments or from ``mobilesdk.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Tag, ValidationError

from mobilesdk.core.contract import Contract
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.metric import UserMetric
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.errors import InvalidContract, InvalidModel, UsageError
from mobilesdk.pipeline.extras import (
    Asset,
    anchored_assets,
    anchored_metrics,
    anchored_set,
    anchored_tokenizer,
)
from mobilesdk.plugins import Kind, frontend, names
from mobilesdk.targets import Budget, load_targets

PROJECT_FILE = "mobilesdk.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ACCEPTED = (
    "give package.module:factory or path/to/file.py:function; a state file (.pt, .safetensors) "
    "goes to --weights, beside the function that gives its module."
)


class ModelRequest(Frozen):
    """One model to build.

    Attributes:
        name: Names its files in the bundle.
        reference: ``package.module:factory``, ``file.py:function`` or a file that is a model.
        contract: Overrides or completes what the factory states.
        weights: A state file for the module of the factory.
        trust_model: Whether files of the model may run code when they are loaded.
        profiles: Target → profile, where it differs from the target's own.
        budget: Limits that replace those of the profile one by one; the others stay.
        labels: A file with the labels of the evaluation set.
        tokenizer: Function that makes the inputs of a text, for sets of texts.
        metrics: On outputs and labels of the evaluation set.
        assets: Files that the app needs beside the artifact.
    """

    name: str
    reference: str
    contract: Contract | None = None
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

    @property
    def source(self) -> ModelSource:
        """What its frontend is asked to read."""
        return ModelSource(
            reference=self.reference,
            weights=self.weights,
            contract=self.contract,
            trusted=self.trust_model,
        )


class BuildRequest(Frozen):
    """All that a plan follows from.

    Attributes:
        targets: Names, files or folders; empty: every shipped target in reach.
        other_targets: Names of targets that the project has besides; its models may name profiles
            for them.
        layer_sample_count: Samples of the evaluation set on which the output of every op is
            compared with the float model; 0: none is.
    """

    models: tuple[ModelRequest, ...]
    targets: tuple[str, ...] = ()
    other_targets: tuple[str, ...] = ()
    plugins: tuple[Path, ...] = ()
    allow_small_calibration: bool = False
    layer_sample_count: int = 0


def read_request(
    model: str | None,
    *,
    targets: Sequence[str | Path] = (),
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    contract: str | Path | None = None,
    weights: str | Path | None = None,
    trust_model: bool = False,
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
    if model is None:
        if calibration or evaluation or contract or weights or trust_model:
            raise UsageError(
                "A set, a contract, weights or trust was given without a MODEL.",
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


def single(
    model: str,
    *,
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    contract: str | Path | None = None,
    weights: str | Path | None = None,
    trust_model: bool = False,
) -> ModelRequest:
    """Make the request for a model that is in no project.

    Raises:
        UsageError: It is no reference of a model, or the contract cannot be read.
    """
    return ModelRequest(
        name=name_of(model),
        reference=model,
        contract=None if contract is None else read_contract(Path(contract)),
        weights=None if weights is None else Path(weights),
        trust_model=trust_model,
        calibration=None if calibration is None else Path(calibration),
        evaluation=None if evaluation is None else Path(evaluation),
    )


def name_of(reference: str) -> str:
    """Give the name of a model in the bundle: the file's, or the last module's.

    Raises:
        UsageError: The reference has no such part.
    """
    parsed = Reference.parse(reference)
    if not _NAME.fullmatch(parsed.stem) or (not parsed.function and reference.endswith(".py")):
        raise UsageError(f"{reference!r} is no model.", hint=_ACCEPTED)
    return parsed.stem


def frontend_for(reference: str) -> str:
    """Give the name of the frontend that reads a model.

    Raises:
        InvalidModel: None takes the reference.
    """
    for name in names(Kind.FRONTENDS):
        if frontend(name).claims(reference):
            return name
    raise InvalidModel(f"No frontend takes {reference!r}.", hint=_ACCEPTED)


def read_contract(path: Path) -> Contract:
    """Read a contract from a JSON file.

    Raises:
        InvalidContract: It is missing or does not hold to the schema.
    """
    try:
        return Contract.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidContract(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise InvalidContract(f"{path} is no contract:\n{_faults(error)}") from error


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
    try:
        project = _Project.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"No MODEL was given, and {path} cannot be read: {error.strerror}.",
            hint="give a MODEL (file.py:function), or write the file: mobilesdk init MODEL.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{path} does not hold to its schema:\n{_faults(error)}") from error
    models = tuple(_request(model, path.parent) for model in project.models)
    given = [model.name for model in models]
    if len(set(given)) < len(given):
        raise UsageError(f"{path} gives two models one name.", hint="give each model a name.")
    return models, tuple(_anchored_target(target, path.parent) for target in project.targets)


def _request(model: _ProjectModel, folder: Path) -> ModelRequest:
    name = model.name or name_of(model.model)
    if not _NAME.fullmatch(name):
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


def _faults(error: ValidationError) -> str:
    return "\n".join(
        f"  - {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
    )
