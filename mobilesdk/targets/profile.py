"""A profile: ordered compression methods, and the budget that the result has to meet."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from mobilesdk.core.frozen import Frozen
from mobilesdk.core.step import StepConfig
from mobilesdk.plugins import compressor
from mobilesdk.targets.budget import Budget


class CompressStep(Frozen):
    """One ``[[compress]]`` table.

    Attributes:
        method: Name of a compressor.
        config: Every field of the compressor's configuration, as plain data.
    """

    method: str
    config: dict[str, JsonValue] = {}

    def typed_config(self) -> StepConfig:
        """Give the configuration as the compressor's own class."""
        return compressor(self.method).config.model_validate(self.config)


class Profile(Frozen):
    """A profile file.

    Attributes:
        schema_version: Of the file format.
        title: One line for people.
        compress: Methods, in the order in which they are applied; none leaves float32.
        budget: Limits that the written artifact has to keep.
    """

    schema_version: Literal[1]
    title: Annotated[str, Field(min_length=1)]
    compress: tuple[CompressStep, ...] = ()
    budget: Budget = Budget()
