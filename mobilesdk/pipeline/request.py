"""What a caller asks for: models, sets and targets, as values and from arguments."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from mobilesdk.core.contract import Contract
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.metric import UserMetric
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.errors import InvalidContract, InvalidModel, UsageError
from mobilesdk.pipeline.extras import (
    Asset,
    anchored_tokenizer,
)
from mobilesdk.plugins import Kind, frontend, names
from mobilesdk.targets import Budget

_LONGEST_NAME = 100
MODEL_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST_NAME - 1}}}")
_ACCEPTED = (
    "give package.module:factory, path/to/file.py:function, a .pt2 or .keras file, or the folder "
    "of a SavedModel; a state file (.pt, .safetensors) goes to --weights, beside the function that "
    "gives its module; of a .h5 file, load the Keras model and save it as .keras."
)


class ModelRequest(Frozen):
    """One model to build.

    Attributes:
        name: Names its files in the bundle.
        reference: ``package.module:factory``, ``file.py:function``, or a file or folder that is a
            model.
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


def single(
    model: str,
    *,
    calibration: str | Path | None = None,
    evaluation: str | Path | None = None,
    contract: str | Path | None = None,
    weights: str | Path | None = None,
    trust_model: bool = False,
    tokenizer: str | None = None,
) -> ModelRequest:
    """Make the request for a model that is in no project.

    Raises:
        UsageError: It is no reference of a model, the contract cannot be read, or the tokenizer is
            no function.
    """
    return ModelRequest(
        name=name_of(model),
        reference=model,
        contract=None if contract is None else read_contract(Path(contract)),
        weights=None if weights is None else Path(weights),
        trust_model=trust_model,
        calibration=None if calibration is None else Path(calibration),
        evaluation=None if evaluation is None else Path(evaluation),
        tokenizer=anchored_tokenizer(tokenizer, Path()),
    )


def name_of(reference: str) -> str:
    """Give the name of a model in the bundle: the file's, or the last module's.

    Raises:
        UsageError: The reference has no such part.
    """
    parsed = Reference.parse(reference)
    if parsed.path is not None and parsed.function and not MODEL_NAME.fullmatch(parsed.stem):
        raise UsageError(
            f"The model would be named {parsed.stem!r} after its file, and names of models are at "
            f"most {_LONGEST_NAME} letters of ASCII, digits, dots, hyphens and underscores.",
            hint="rename the file, or give the model a name in mobilesdk.toml.",
        )
    if not MODEL_NAME.fullmatch(parsed.stem) or (not parsed.function and reference.endswith(".py")):
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
        raise InvalidContract(
            f"{path} cannot be read: {error.strerror}.", hint="check the path of --contract."
        ) from error
    except ValidationError as error:
        raise InvalidContract(
            f"{path} is no contract:\n{faults(error)}",
            hint="correct these keys; a manifest.json has a whole contract as an example.",
        ) from error


def faults(error: ValidationError) -> str:
    """Give each fault of a file on a line, with the key that it is about."""
    return "\n".join(
        f"  - {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
    )
