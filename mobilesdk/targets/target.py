"""A target: a device tier, the format that it runs, and the profile for each family of models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag

from mobilesdk.core.frozen import Frozen
from mobilesdk.plugins import ExportOptions, exporter
from mobilesdk.targets.match import Match, Platform, Version

Family = Literal["vision", "transformer", "other"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Reason = Annotated[str, Field(min_length=1)]


def _table_or_text(value: Any) -> str:
    return "<text>" if isinstance(value, str) else "<table>"


class Device(Frozen):
    """What the tier is.

    Attributes:
        platform: Operating system.
        min_os: Lowest version that can load the artifact.
        max_os: Highest version on which the accelerator should be used.
        accelerator: What should run the model.
    """

    platform: Platform
    min_os: Version
    max_os: Version | None = None
    accelerator: Literal["neural_engine", "npu", "nnapi", "gpu", "xnnpack"]


class FallbackAllowance(Frozen):
    """How much may stay outside the delegate.

    Attributes:
        max_ops: Number of ops.
        reason: Why that is acceptable; goes into the manifest.
        ops: Op types that may, in the words of the format; without it, all.
    """

    max_ops: Annotated[int, Field(ge=1)]
    reason: Reason
    ops: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class PartialAllowance(Frozen):
    """How many ledger entries may differ from the plan.

    Attributes:
        max_fraction: Of the float32 bytes of all weights, or of the number of ops, whichever is
            worse; 0 … 1.
        reason: Why that is acceptable; goes into the manifest.
    """

    max_fraction: Annotated[float, Field(gt=0.0, lt=1.0)]
    reason: Reason


Fallback = Annotated[
    Annotated[Literal["forbid"], Tag("<text>")] | Annotated[FallbackAllowance, Tag("<table>")],
    Discriminator(_table_or_text),
]


class ExportSettings(Frozen):
    """What every ``[export]`` table can say, whatever its format.

    Attributes:
        allow_partial: What may differ from the plan; nothing without it.
    """

    allow_partial: PartialAllowance | None = None


class DelegateSettings(ExportSettings):
    """What it can say besides, where files of the format say which ops a delegate runs.

    Attributes:
        fallback: What may run outside the delegate.
    """

    fallback: Fallback = "forbid"


class Export(DelegateSettings):
    """The ``[export]`` table.

    Attributes:
        format: Name of an exporter.
        options: Every field of the exporter's options, as plain data.
    """

    format: str
    options: dict[str, JsonValue] = {}

    def typed_options(self) -> ExportOptions:
        """Give the options as the exporter's own class."""
        return exporter(self.format).options.model_validate(self.options)


class Unsupported(Frozen):
    """In place of a profile: this tier does not get such models.

    Attributes:
        unsupported: The reason.
    """

    unsupported: Reason


ProfileName = Annotated[
    Annotated[Name, Tag("<text>")] | Annotated[Unsupported, Tag("<table>")],
    Discriminator(_table_or_text),
]


class Profiles(Frozen):
    """The ``[profiles]`` table: a profile, or the reason why there is none, by family of model."""

    default: ProfileName
    vision: ProfileName | None = None
    transformer: ProfileName | None = None
    other: ProfileName | None = None

    def named(self) -> dict[str, str]:
        """Map each key that names a profile to its name."""
        return {key: name for key, name in self if isinstance(name, str)}


class Target(Frozen):
    """A target file.

    Attributes:
        schema_version: Of the file format.
        id: The name of the file without ``.toml``.
        title: One line for people.
    """

    schema_version: Literal[1]
    id: Name
    title: Annotated[str, Field(min_length=1)]
    device: Device
    match: Match
    export: Export
    profiles: Profiles

    def profile_for(self, family: str) -> str | Unsupported:
        """Give the name of the profile for a family of models, or why there is none."""
        named: str | Unsupported | None = getattr(self.profiles, family, None)
        return named if named is not None else self.profiles.default
