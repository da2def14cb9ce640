"""The Core ML package inside an ExecuTorch program that the Core ML delegate runs whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.executorch_folder import unpack
from mobilesdk.flatbuffers.program import Program

BACKEND = "CoreMLBackend"
PACKAGE_NAME = "model.mlpackage"
_METADATA = PurePosixPath("metadata.json")
_MAX_METADATA_BYTES = 1 << 20


def whole_payload(program: Program) -> memoryview | None:
    """Give what the Core ML delegate prepared, if the program is one call of it and nothing else.

    The call must take the inputs of the program and give its outputs, in their order.
    """
    if len(program.calls) != 1 or program.calls[0].delegate is None:
        return None
    delegate = program.delegates[program.calls[0].delegate]
    straight = program.calls[0].arguments == (*program.inputs, *program.outputs)
    return delegate.payload if delegate.backend == BACKEND and straight else None


def unfold(payload: memoryview, folder: Path) -> Path:
    """Write the files of a payload into a folder; give the path of the package.

    Raises:
        FileRejected: The payload is damaged, or its files cannot be written.
    """
    files = unpack(payload)
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    except OSError as error:
        raise FileRejected(
            f"The Core ML package of a program cannot be written: {error.strerror}."
        ) from error
    return folder / PACKAGE_NAME


def port_names(payload: memoryview) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the package's names of inputs and of outputs, in the order of the call.

    Raises:
        FileRejected: The payload does not say them.
    """
    content = unpack(payload).get(_METADATA)
    if content is None or len(content) > _MAX_METADATA_BYTES:
        raise FileRejected("The payload of the Core ML delegate has no metadata.")
    try:
        metadata = json.loads(bytes(content))
    except (ValueError, RecursionError) as error:
        raise FileRejected("The metadata of the Core ML delegate are not JSON.") from error
    if not isinstance(metadata, dict):
        raise FileRejected("The metadata of the Core ML delegate are no JSON object.")
    return _texts(metadata, "inputNames"), _texts(metadata, "outputNames")


def _texts(metadata: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = metadata.get(key)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise FileRejected(f"The metadata of the Core ML delegate have no {key}.")
    return tuple(found)
