"""JSON Schemas of target and profile files, so that editors complete and check them.

They are made from the same classes that load the files: those of this package, and the options and
configurations of every shipped exporter and compressor.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from mobilesdk.plugins import ExportOptions, Kind, compressor, exporter, names
from mobilesdk.targets.profile import Profile
from mobilesdk.targets.target import DelegateSettings, ExportSettings, Target

_ATTRIBUTES = "\n\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^(\w+): (.*(?:\n .*)*)", re.MULTILINE)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """Give the JSON Schema (draft 2020-12) of a ``target`` and of a ``profile``."""
    exports = [_export(name, exporter(name).options) for name in names(Kind.EXPORTERS)]
    steps = [
        create_model(
            f"{name}_step",
            __base__=compressor(name).config,
            __doc__=f"A ``[[compress]]`` table for the method {name}.",
            method=(Literal[name], ...),
        )
        for name in names(Kind.COMPRESSORS)
    ]
    return {
        "target": _schema(Target, export=(_one_of(exports, "format"), ...)),
        "profile": _schema(Profile, compress=(list[_one_of(steps, "method")], [])),  # type: ignore[misc]  # made of data
    }


def _export(name: str, options: type[ExportOptions]) -> type[BaseModel]:
    settings = DelegateSettings if options.takes_fallback else ExportSettings
    return create_model(
        f"{name}_export",
        __base__=(settings, options),
        __doc__=f"The ``[export]`` table for the format {name}.",
        format=(Literal[name], ...),
    )


def _one_of(classes: Sequence[type[BaseModel]], key: str) -> Any:
    """Make the type of a table that is one of several, told apart by a key."""
    return Annotated[Union[tuple(classes)], Field(discriminator=key)]  # noqa: UP007  made of data


def _schema(base: type[BaseModel], **fields: Any) -> dict[str, Any]:
    file = create_model(base.__name__, __base__=base, __doc__=base.__doc__, **fields)
    return {"$schema": DIALECT, **file.model_json_schema(schema_generator=_FromDocstrings)}


class _FromDocstrings(GenerateJsonSchema):
    """Describes each property by what the docstrings say of it, so that editors show it there."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        described = super().model_schema(schema)
        for owner in reversed(schema["cls"].__mro__):
            summary, _, attributes = inspect.cleandoc(owner.__doc__ or "").partition(_ATTRIBUTES)
            if owner is schema["cls"]:
                described["description"] = summary
            for name, meaning in _ATTRIBUTE.findall(textwrap.dedent(attributes)):
                if name in described["properties"]:
                    described["properties"][name]["description"] = " ".join(meaning.split())
        return described
