"""Look at a ``.keras`` file from anywhere before Keras builds the model that it describes.

What Keras 3 writes, and what it does when it loads it::

    metadata.json       version and date; not read
    config.json         objects by module and name, imported and called; marshalled Python functions
    model.weights.h5    HDF5, whose links Keras does not follow; or model.weights.npz, no pickles
    assets/…            files of single layers, unpacked

Keras refuses marshalled functions by itself (``safe_mode``), and names outside of its own packages.
Here every name has to lie in one of the modules that models are made of.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph.archive import checked_entries

_CONFIG = "config.json"
_MODULE = re.compile(
    r"keras|builtins|keras(?:\.src)?\.(?:activations|constraints|dtype_policies|initializers|layers"
    r"|losses|metrics|models|ops|optimizers|quantizers|random|regularizers)(?:\.\w+)*",
    re.ASCII,
)
# What stands in a configuration for plain values; no name is looked up for these.
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
# What runs code of the file, or loads another file that may.
_CODE = frozenset({"__lambda__", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"})


def check_keras_file(path: Path, *, trusted: bool) -> None:
    """Refuse a file that Keras must not load.

    Args:
        path: A ``.keras`` file of unknown origin.
        trusted: Whether functions in it may run; the archive is looked at in any case.

    Raises:
        FileRejected: It is a hostile archive, holds code and is not trusted, or names what no model
            is made of.
        InvalidModel: It is damaged, or made of classes whose code is elsewhere.
    """
    entries = checked_entries(path)
    if _CONFIG not in entries:
        raise InvalidModel(
            f"{path.name} holds no {_CONFIG}: it is no file of Keras 3.",
            hint="write it with model.save('net.keras') of Keras 3.",
        )
    if trusted:
        return
    for entry in _objects(_configuration(path, entries[_CONFIG])):
        _check(path, entry)


def _configuration(path: Path, entry: zipfile.ZipInfo) -> dict[str, Any]:
    """Read the description of the model, less what training needs, which is not loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read(entry))
        return {key: value for key, value in config.items() if key != "compile_config"}
    except (ValueError, AttributeError, RecursionError, zipfile.BadZipFile, OSError) as error:
        raise InvalidModel(
            f"{path.name}: {entry.filename} cannot be read: {error}",
            hint="write it again with model.save('net.keras') of Keras 3.",
        ) from error


def _objects(config: object) -> Iterator[Mapping[str, Any]]:
    """Give every part of a configuration from which Keras makes an object."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            if "class_name" in value:
                yield value


def _check(path: Path, entry: Mapping[str, Any]) -> None:
    name, module = str(entry["class_name"]), entry.get("module")
    if name in _CODE:
        raise FileRejected(
            f"{path.name} holds {_described(entry)}: loading it would run code.",
            hint="write that part with layers or keras.ops, and save the model again; if you trust "
            "whom the file comes from, give --trust-model.",
        )
    if name in _VALUES or ("config" not in entry and module is None):
        return
    if module not in ("builtins", "keras") and not str(module).startswith("keras."):
        raise InvalidModel(
            f"{path.name} is made of {_described(entry)} of {module or 'a script'}, whose code is "
            "not in the file.",
            hint="where that code is, with KERAS_BACKEND=torch, write the program: "
            "model.export('net.pt2', format='torch'); and give net.pt2.",
        )
    if not _MODULE.fullmatch(str(module)):
        raise FileRejected(
            f"{path.name} names {module}.{_own_name(entry)}, which no model is made of.",
            hint="get the file again from whom it comes, and compare its hash.",
        )


def _own_name(entry: Mapping[str, Any]) -> str:
    """Give the name that Keras would look up: a function stands in the configuration."""
    return str(entry.get("config") if entry["class_name"] == "function" else entry["class_name"])


def _described(entry: Mapping[str, Any]) -> str:
    """Give the class of an object, and its name if it has one."""
    name, config = str(entry["class_name"]), entry.get("config")
    if name == "__lambda__":
        return "a Python function (lambda)"
    own = config.get("name") if isinstance(config, dict) else config
    return f"{name} ({own!r})" if isinstance(own, str) else name
