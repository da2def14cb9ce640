"""Parse ``saved_model.pb`` and choose what to read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.saved_model.node import dtype_name, shape_of

_TAG = "serve"
_DEFAULT = "serving_default"
_INITIALISER = "__saved_model_init_op"


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
        name: In the signature.
        tensor: In the graph.
        shape: ``None`` for axes that are open; ``None`` if even the rank is.
        dtype: Its name.
    """

    name: str
    tensor: str
    shape: tuple[int | None, ...] | None
    dtype: str


@dataclass(frozen=True)
class Signature:
    """What a SavedModel computes, by one of the names that it gives to it.

    Attributes:
        name: Of the signature.
        graph: The ``GraphDef`` that it is a part of.
        inputs: Sorted by name.
        outputs: Sorted by name.
    """

    name: str
    graph: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_signature(path: Path, wanted: str) -> Signature:
    """Parse a file; nothing is loaded or run.

    Args:
        path: ``saved_model.pb``.
        wanted: Name of a signature; empty: ``serving_default``, or the only one.

    Raises:
        InvalidModel: It is damaged, or has no such signature; those that it has are named.
    """
    meta = _meta_graph(path)
    found = {name: each for name, each in meta.signature_def.items() if name != _INITIALISER}
    name = wanted or (_DEFAULT if _DEFAULT in found else next(iter(found), ""))
    if name not in found or (not wanted and name != _DEFAULT and len(found) > 1):
        told = ", ".join(map(repr, sorted(found))) or "none"
        what = f"no signature {wanted!r}" if wanted else f"no {_DEFAULT!r}, and more than one other"
        raise InvalidModel(
            f"The SavedModel has {what}; signatures: {told}."
            if found
            else "The SavedModel has no signature.",
            hint=f"give ./{path.parent.name}:NAME of one of them."
            if found
            else "name its function: tf.saved_model.save(module, folder, signatures=function).",
        )
    chosen = found[name]
    return Signature(name, meta.graph_def, _tensors(chosen.inputs), _tensors(chosen.outputs))


def _meta_graph(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise InvalidModel(
            f"{path.name} cannot be read: {error}", hint="write it again: it is damaged."
        ) from error
    graphs = [each for each in model.meta_graphs if _TAG in each.meta_info_def.tags]
    if len(graphs) != 1:
        tags = [sorted(each.meta_info_def.tags) for each in model.meta_graphs]
        raise InvalidModel(
            f"{path.name} has {len(graphs)} graphs with the tag {_TAG!r}, and one is read; tags: "
            f"{tags}.",
            hint="write it with tf.saved_model.save, or model.export of Keras.",
        )
    return graphs[0]


def _tensors(given: Mapping[str, Any]) -> tuple[Tensor, ...]:
    for name, info in given.items():
        if info.WhichOneof("encoding") != "name":
            raise InvalidModel(
                f"{name!r} of the signature is no plain tensor.",
                hint="let the signature take and give tensors only, neither sparse nor ragged.",
            )
    return tuple(
        Tensor(name, info.name, shape_of(info.tensor_shape), dtype_name(info.dtype))
        for name, info in sorted(given.items())
    )
