"""``manifest.json``: what was asked for, what was done, how far from the float model, for whom."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mobilesdk.core.contract import Contract, DType
from mobilesdk.core.flexibility import Flexibility
from mobilesdk.core.gate import Gate, Verification
from mobilesdk.core.parity import ParityReport
from mobilesdk.core.structure import Cost
from mobilesdk.errors import FileRejected

SCHEMA_VERSION = "1.0"
MANIFEST_NAME = "manifest.json"
_MAX_MANIFEST_BYTES = 64 << 20


ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
TargetName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=200)]
FormatName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=200)]
AssetName = Annotated[
    str, Field(pattern=r"^[^/\\\x00-\x1f]*[^./\\\x00-\x1f][^/\\\x00-\x1f]*$", max_length=200)
]
"""Names become names of files and of plug-ins, and a manifest may come from anybody."""


class Tolerant(BaseModel):
    """A record of the manifest: what a newer minor version adds is kept under ``extensions``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    extensions: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _set_apart(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        unknown = {name: data[name] for name in data if name not in cls.model_fields}
        if not unknown:
            return data
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        return known | {"extensions": {**data.get("extensions", {}), **unknown}}

    @model_serializer(mode="wrap")
    def _without_empty_extensions(self, default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = default(self)
        if not data["extensions"]:
            del data["extensions"]
        return data


class FileEntry(Tolerant):
    """A file of the bundle, or a package (a folder that is one artifact).

    Attributes:
        path: Relative to the bundle, POSIX.
        sha256: Of the bytes; of a package, its tree hash (`mobilesdk.bundle.canonical.tree_hash`).
    """

    path: str
    kind: Literal["file", "package"] = "file"
    role: Literal["artifact", "golden", "record", "asset"]
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SetEntry(Tolerant):
    """A calibration or evaluation set, by its content."""

    sha256: str
    count: int


class Port(Tolerant):
    """An input, output or state of an artifact, as the file itself declares it.

    Attributes:
        name: In the artifact.
        shape: In the artifact; ``-1`` stands for a free dimension.
        dtype: In the artifact; a quantized file may take integers where the contract says floats.
        flexibility: The shapes that the file allows, if there are several. ExecuTorch keeps only
            the largest sizes; the dimensions of the contract have all of them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    flexibility: Flexibility | None = None


class Structure(Tolerant):
    """What structured pruning did to the model, before any weight was rounded.

    Attributes:
        before: What the float model takes.
        after: What the pruned one takes.
    """

    before: Cost
    after: Cost


class Variant(Tolerant):
    """The artifact for one target, with its records.

    Attributes:
        artifact: Path in the bundle; two targets may share one artifact.
        inputs: Name in the contract → what the artifact calls and takes for it.
        outputs: Name in the contract → what the artifact calls and gives for it.
        states: Name in the contract → what the artifact calls and keeps for it. Where the format
            has no states, ``inputs`` has each state by its name, and ``outputs`` its new value as
            ``<name>_next``, which the app gives back with the next call; zeros with the first one.
        export: The exporter's options: compute units, precision, backend, deployment target.
        accelerator: What should run it on the device.
        ran_on: What ran it for its figures, on the machine that built it; empty if nothing did.
        maximum_os: Last version of the system on which the accelerator should be used.
        overrides: What the project chose in place of the target's own: ``profile``, and each limit,
            ``budget.any.min_sqnr_db`` for example.
        allowances: What the target accepts besides the plan, each with its reason: ``fallback``,
            ops outside the delegate; ``allow_partial``, entries of the ledger that differ.
        structure: What the model takes before and after pruning; ``None`` if nothing was pruned.
    """

    target: TargetName
    target_title: str
    format: FormatName
    artifact: str
    inputs: dict[str, Port] = {}
    outputs: dict[str, Port] = {}
    states: dict[str, Port] = {}
    export: dict[str, Any] = {}
    size_bytes: int
    float_size_bytes: int
    profile: str
    overrides: tuple[str, ...] = ()
    allowances: dict[str, Any] = {}
    methods: tuple[str, ...]
    structure: Structure | None = None
    accelerator: str = ""
    minimum_os: str
    maximum_os: str | None = None
    match: dict[str, Any]
    fallback_order: int
    verification: Verification
    verification_reason: str = ""
    ran_on: str = ""
    device: Literal["not_measured"] = "not_measured"
    gates: tuple[Gate, ...]
    parity: ParityReport | None
    calibration: SetEntry | None
    evaluation: SetEntry | None
    tools: dict[str, str]
    records: dict[str, str]
    expected_outputs: str | None


class AssetEntry(Tolerant):
    """A file that the app needs beside the artifact: labels, a tokenizer, rules for the outputs.

    Attributes:
        name: The name that the project has for it.
        path: In the bundle; its last part is the file's SHA-256, so that equal files are one.
    """

    name: AssetName
    role: Literal["labels", "tokenizer", "postprocessing", "other"]
    path: str


class ModelEntry(Tolerant):
    """A model and its variants.

    Attributes:
        assets: Files of the app, each under a name of its own.
        sha256: Of what the model was made from: its sources, files and distributions.
    """

    name: ModelName
    source: str
    sha256: str
    family: str
    contract: Contract
    golden_inputs: str
    golden_outputs: str
    assets: tuple[AssetEntry, ...] = ()
    variants: tuple[Variant, ...]


class Failure(Tolerant):
    """A variant that could not be built; it has no artifact."""

    model: ModelName
    target: TargetName
    step: str
    code: str


class Manifest(Tolerant):
    """The whole of ``manifest.json``."""

    schema_version: str = SCHEMA_VERSION
    mobilesdk_version: str
    releasable: bool
    models: tuple[ModelEntry, ...]
    failures: tuple[Failure, ...] = ()
    files: tuple[FileEntry, ...]


def read_manifest(bundle: Path) -> Manifest:
    """Read the manifest of a bundle.

    Raises:
        FileRejected: It is missing, damaged, of a newer major version, or names a path outside.
    """
    path = bundle / MANIFEST_NAME
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise FileRejected(f"{path} is larger than {_MAX_MANIFEST_BYTES} bytes.")
        data = json.loads(path.read_bytes())
        version = str(data["schema_version"])
        if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise FileRejected(
                f"{path} has schema_version {version}; this version reads {SCHEMA_VERSION}.",
                hint="install the version of mobilesdk that wrote the bundle, or a newer one.",
            )
        manifest = Manifest.model_validate(data)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValidationError | OSError) else repr(error)
        raise FileRejected(
            f"{path} is not a manifest: {reason}", hint="give the folder of a bundle."
        ) from error
    for entry in manifest.files:
        resolve(bundle, entry.path)
    return manifest


def resolve(bundle: Path, relative: str) -> Path:
    """Give the place of a file of the bundle.

    Raises:
        FileRejected: The path is absolute, leaves the bundle, or goes through a link.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or "\\" in relative or not pure.parts:
        raise FileRejected(f"The manifest names {relative!r}, which is no path inside the bundle.")
    path = bundle
    for part in pure.parts:
        path = path / part
        if path.is_symlink():
            raise FileRejected(f"{relative!r} goes through a link, which a bundle must not hold.")
    return path
