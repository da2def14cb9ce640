"""Load a state file into the module that a factory gave; nothing in it is unpickled freely."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph.archive import checked_entries

_SUFFIXES = (".safetensors", ".pt", ".pth")
_GLOBAL = re.compile(r"unsupported (?:global: )?GLOBAL (\S+)", re.IGNORECASE)
_REASON = re.compile(r"WeightsUnpickler error: (.*)")


def load_state(module: torch.nn.Module, path: Path) -> None:
    """Give a module the parameters and buffers of a file.

    Args:
        module: Changed in place, only if everything fits.
        path: ``.safetensors``, or ``.pt`` or ``.pth`` as ``torch.save(module.state_dict(), path)``
            writes it: a flat mapping from names to tensors.

    Raises:
        InvalidModel: The file cannot be read, is no state, or does not fit the module; names every
            key that is missing, unexpected or of another shape or dtype.
        FileRejected: It is a hostile archive, or loading it would run code, as of a pickled module.
    """
    state = _read(path)
    _check(state, module.state_dict(keep_vars=True), path)
    module.load_state_dict(state, strict=False)  # what is missing is tied to what is there


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix not in _SUFFIXES:
        raise InvalidModel(
            f"{path.name} is no state file.", hint=f"give one of {', '.join(_SUFFIXES)}."
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if zipfile.is_zipfile(path):
        checked_entries(path)
    loaded = _read_torch(path)
    if not isinstance(loaded, Mapping) or not all(isinstance(key, str) for key in loaded):
        raise InvalidModel(
            f"{path.name} holds a {type(loaded).__name__}, not a mapping from names to tensors.",
            hint="write it with torch.save(module.state_dict(), path).",
        )
    others = [key for key, value in loaded.items() if not isinstance(value, Tensor)]
    if others:
        raise InvalidModel(
            f"{path.name} is no state, but holds {_kinds(loaded, others)}.",
            hint=_advice_for_checkpoint(loaded, path),
        )
    return loaded


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise InvalidModel(
            f"{path.name} cannot be read as safetensors: {error}",
            hint="write the file again: it is damaged.",
        ) from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(os.fspath(path), map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error)
        found, reason = _GLOBAL.search(text), _REASON.search(text)
        if found or "TorchScript" in text:
            what = f"Python objects ({found[1]})" if found else "a TorchScript program"
            raise FileRejected(
                f"{path.name} holds {what}, not tensors alone: loading it would run code.",
                hint="load it where it was made, and write what a factory needs: "
                "torch.save(module.state_dict(), path).",
            ) from error
        what = reason[1] if reason else f"{type(error).__name__}: {text.partition(chr(10))[0]}"
        raise InvalidModel(
            f"{path.name} cannot be read: {what}",
            hint="write it with torch.save(module.state_dict(), path); it may be damaged.",
        ) from error


def _kinds(loaded: Mapping[str, Any], others: list[str]) -> str:
    return ", ".join(f"{key!r} (a {type(loaded[key]).__name__})" for key in others)


def _advice_for_checkpoint(loaded: Mapping[str, Any], path: Path) -> str:
    for key, value in loaded.items():
        if isinstance(value, Mapping) and any(isinstance(each, Tensor) for each in value.values()):
            return (
                f"{key!r} holds tensors: write it alone, "
                f"torch.save(torch.load({path.name!r}, weights_only=True)[{key!r}], path)."
            )
    return "write a flat mapping: torch.save(module.state_dict(), path)."


def _check(state: Mapping[str, Tensor], expected: Mapping[str, Any], path: Path) -> None:
    """Refuse a state that does not fit a module, with every fault."""
    by_tensor: dict[Any, list[str]] = {}
    for key, value in expected.items():
        by_tensor.setdefault(id(value), []).append(key)
    tied = [keys for keys in by_tensor.values() if any(key in state for key in keys)]
    present = {key for keys in tied for key in keys}
    faults = [f"missing: {key}" for key in expected if key not in present]
    faults += [f"unexpected: {key}" for key in state if key not in expected]
    faults += [
        f"misshapen: {key} is {_form(state[key])} in the file, {_form(value)} in the module"
        for key, value in expected.items()
        if key in state and _form(state[key]) != _form(value)
    ]
    faults += [
        f"tied: {' and '.join(keys)} are one tensor in the module, and differ in the file"
        for keys in tied
        if not _are_equal([state[key] for key in keys if key in state])
    ]
    if faults:
        lines = "".join(f"\n  - {fault}" for fault in faults)
        raise InvalidModel(
            f"{path.name} does not fit the module of the factory:{lines}",
            hint=_advice_for_keys(set(state), set(expected), path),
        )


def _form(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _are_equal(tensors: list[Tensor]) -> bool:
    return all(torch.equal(tensors[0], other) for other in tensors[1:])


def _advice_for_keys(given: set[str], wanted: set[str], path: Path) -> str:
    """Name the usual cause: one side's keys have a prefix that the other's lack."""
    for prefix in _prefixes(given):
        if {key.removeprefix(prefix) for key in given} & wanted:
            return (
                f"every key of the file begins with {prefix!r}; take it away: "
                f"{{key.removeprefix({prefix!r}): value for key, value in state.items()}}."
            )
    for prefix in _prefixes(wanted):
        if {f"{prefix}{key}" for key in given} & wanted:
            return (
                f"every key of the module begins with {prefix!r}; return its part "
                f"{prefix.removesuffix('.')!r} from the factory, or write the file with the prefix."
            )
    return f"return the module that {path.name} was saved from, with the same sizes and dtypes."


def _prefixes(keys: set[str]) -> list[str]:
    """Give what all keys begin with: ``a.`` and ``a.b.`` where all of them begin with ``a.b.``."""
    levels = zip(*(key.split(".")[:-1] for key in keys), strict=False)
    shared = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    return [".".join(shared[: count + 1]) + "." for count in range(len(shared))]
