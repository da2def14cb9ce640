"""Read a program that somebody else saved with ``torch.export.save``, without unpickling.

What an archive of torch 2.13 holds, below one folder, and how ``torch.export.load`` reads it::

    models/NAME.json                          the program as JSON; see `pt2_check`
    data/weights/NAME_weights_config.json     where each weight lies
    data/weights/weight_N                     bytes; a pickle for subclasses of tensors
    data/constants/NAME_constants_config.json where each constant lies
    data/constants/tensor_N                   bytes; a pickle for subclasses of tensors
    data/constants/custom_obj_N, opaque_obj_N pickles
    data/sample_inputs/NAME.pt                ``torch.load``, unpickled freely if that fails
    data/aotinductor/…                        a library of machine code, loaded

Here bytes are taken as bytes, sample inputs are loaded with ``weights_only=True``, and the rest is
refused.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import (
    _SERIALIZE_TO_TORCH_DTYPE,
    ExportedProgramDeserializer,
    _dict_to_dataclass,
)
from torch.export.pt2_archive import constants as layout

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph.archive import checked_entries
from mobilesdk.graph.pt2_check import TRUST, checked_description

_FOLDER = "[^/]+/"
_MODEL = re.compile(_FOLDER + r"models/(?P<name>[\w.-]+)\.json", re.ASCII)
_PAYLOAD = re.compile(r"(?:weight|tensor)_\d+", re.ASCII)


def read_foreign_program(path: Path) -> torch.export.ExportedProgram:
    """Read a ``.pt2`` file of unknown origin.

    Raises:
        FileRejected: It is a hostile archive, or holds what could run code.
        InvalidModel: It is damaged, of another version, or holds several programs.
    """
    entries = checked_entries(path)
    with zipfile.ZipFile(path) as archive:
        try:
            return _Records(path, archive, entries).program()
        except (FileRejected, InvalidModel):
            raise
        except Exception as error:
            raise InvalidModel(
                f"{path.name} cannot be read: {type(error).__name__}: {error}",
                hint=f"save it again with torch.export.save of torch {torch.__version__}.",
            ) from error


@dataclass(frozen=True)
class _Records:
    """The records of an archive whose entries have been looked at."""

    path: Path
    archive: zipfile.ZipFile
    entries: dict[str, zipfile.ZipInfo]

    def program(self) -> torch.export.ExportedProgram:
        models = [match for name in self.entries if (match := _MODEL.fullmatch(name))]
        if len(models) != 1:
            raise InvalidModel(
                f"{self.path.name} holds {len(models)} programs as torch "
                f"{torch.__version__} writes them.",
                hint="save one exported program with torch.export.save(program, path).",
            )
        root, name = models[0][0].partition("/")[0], models[0]["name"]
        self._check_records(root)
        record = f"{root}/{layout.SAMPLE_INPUTS_FILENAME_FORMAT.format(name)}"
        return ExportedProgramDeserializer().deserialize(
            _dict_to_dataclass(
                schema.ExportedProgram, checked_description(self._json(models[0][0]))
            ),
            self._tensors(f"{root}/{layout.WEIGHTS_CONFIG_FILENAME_FORMAT.format(name)}"),
            self._tensors(f"{root}/{layout.CONSTANTS_CONFIG_FILENAME_FORMAT.format(name)}"),
            self._sample_inputs(record),
        )

    def _check_records(self, root: str) -> None:
        for name in self.entries:
            if not name.startswith(f"{root}/"):
                raise InvalidModel(f"{self.path.name} holds {name!r} outside of {root!r}.")
            if name.startswith(f"{root}/{layout.AOTINDUCTOR_DIR}"):
                raise self._rejected(f"a compiled library ({name})")
        if self.archive.read(self.entries[f"{root}/byteorder"]) != b"little":
            raise InvalidModel(f"{self.path.name} was saved on a big-endian machine.")

    def _json(self, name: str) -> Any:
        return json.loads(self.archive.read(self.entries[name]))

    def _tensors(self, config: str) -> dict[str, torch.Tensor]:
        """Give the tensors that a record lists; those that share a payload share memory."""
        listed = self._json(config)["config"]
        folder = config.rpartition("/")[0]
        payloads: dict[str, torch.Tensor] = {}
        found: dict[str, torch.Tensor] = {}
        for name, payload in listed.items():
            place, meta = payload["path_name"], payload["tensor_meta"]
            if payload["use_pickle"] or not _PAYLOAD.fullmatch(place):
                raise self._rejected(f"a pickle ({name})")
            if place not in payloads:
                payloads[place] = self._payload(f"{folder}/{place}", meta["dtype"])
            tensor = _view(payloads[place], meta)
            found[name] = torch.nn.Parameter(tensor, False) if payload["is_param"] else tensor
        return found

    def _payload(self, name: str, dtype: int) -> torch.Tensor:
        content = bytearray(self.archive.read(self.entries[name]))
        torch_dtype = _SERIALIZE_TO_TORCH_DTYPE[dtype]
        if not content:
            return torch.empty(0, dtype=torch_dtype)
        return torch.frombuffer(content, dtype=torch_dtype)

    def _sample_inputs(self, name: str) -> Any:
        content = self.archive.read(self.entries[name])
        if not content:
            return None
        try:
            return torch.load(io.BytesIO(content), weights_only=True)
        except Exception as error:
            raise self._rejected("example inputs that are pickled objects") from error

    def _rejected(self, what: str) -> FileRejected:
        return FileRejected(
            f"{self.path.name} holds {what}: loading it would run code.", hint=TRUST
        )


def _view(payload: torch.Tensor, meta: dict[str, Any]) -> torch.Tensor:
    """Give a tensor over a payload; torch checks that it lies inside."""
    sizes, strides = ([number["as_int"] for number in meta[key]] for key in ("sizes", "strides"))
    if _SERIALIZE_TO_TORCH_DTYPE[meta["dtype"]] != payload.dtype:
        raise ValueError("two tensors of different dtypes share a payload")
    if math.prod(sizes) == 0:
        return payload.new_empty(sizes)
    return payload.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
