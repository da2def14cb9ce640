"""Functions of one operand.

https://www.tensorflow.org/api_docs/python/tf/raw_ops
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mobilesdk.graph.saved_model.node import Node
from mobilesdk.graph.saved_model.ops.registry import Family

OPS = Family()
_functional = torch.nn.functional

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Elu": _functional.elu,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Expm1": torch.expm1,
    "Floor": torch.floor,
    "Inv": torch.reciprocal,
    "Log": torch.log,
    "Log1p": torch.log1p,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Relu6": _functional.relu6,
    "Rint": torch.round,
    "Round": torch.round,
    "Rsqrt": torch.rsqrt,
    "Selu": _functional.selu,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": _functional.softplus,
    "Softsign": _functional.softsign,
    "Sqrt": torch.sqrt,
    "Square": torch.square,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "OnesLike": torch.ones_like,
    "ZerosLike": torch.zeros_like,
}


def _plain(function: Callable[[Tensor], Tensor]) -> Callable[[Node, Tensor], Tensor]:
    return lambda _node, x: function(x)


for _name, _function in _PLAIN.items():
    OPS(_name, of_shape=_name.endswith("Like"))(_plain(_function))


@OPS("Erfc")
def _erfc(_node: Node, x: Tensor) -> Tensor:
    """Written with ``erf``, which formats have."""
    return 1.0 - torch.erf(x)


@OPS("LeakyRelu")
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return _functional.leaky_relu(x, node["alpha"])


@OPS("Softmax")
def _softmax(_node: Node, x: Tensor) -> Tensor:
    return torch.softmax(x, -1)


@OPS("LogSoftmax")
def _log_softmax(_node: Node, x: Tensor) -> Tensor:
    return torch.log_softmax(x, -1)
