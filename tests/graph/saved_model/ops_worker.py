"""Compare every case with TensorFlow, in a process of its own; print what was seen as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

import mobilesdk.frontends.saved_model as frontend
from mobilesdk.errors import InvalidModel
from mobilesdk.graph.saved_model.graph import FlatGraph, flatten_graph
from mobilesdk.graph.saved_model.module import SavedModelModule
from mobilesdk.graph.saved_model.ops import OPS
from mobilesdk.graph.saved_model.session import TensorFlowRun
from tests.graph.saved_model.cases import CASES, REFUSED, Case


def main() -> None:
    """Print the ops of each case, and what was wrong with it; empty if nothing was."""
    frontend._import_tensorflow()
    seen = {name: compared(case) for name, case in CASES.items()}
    refusals = {name: refusal(case) for name, (_, case) in REFUSED.items()}
    print("RESULT" + json.dumps({"cases": seen, "refused": refusals}))


def draw(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    if kind == "b":
        return generator.random(shape) < 0.5 if shape else np.array(True)
    if kind in "in":
        low, high = {"i": (-3, 6), "n": (0, 4)}[kind]
        return np.array(generator.integers(low, high, shape), np.int32)
    values = generator.normal(size=shape) if kind == "f" else generator.uniform(0.1, 3, shape)
    if kind == "u":
        values = generator.uniform(-0.9, 0.9, shape)
    return np.array(values, np.float32)


def traced(case: Case) -> tuple[FlatGraph, dict[str, torch.Tensor], list[str]]:
    import tensorflow as tf

    generator = np.random.default_rng(0)
    given = {f"in{i}": draw(*each, generator) for i, each in enumerate(case.inputs)}
    graph = tf.Graph()
    with graph.as_default():
        placeholders = [
            tf.compat.v1.placeholder(value.dtype, value.shape, name)
            for name, value in given.items()
        ]
        outputs = tf.nest.flatten(case.build(tf, *placeholders))
    names = [output.name for output in outputs]
    flat = flatten_graph(graph.as_graph_def(), names, OPS)
    return flat, {name: torch.from_numpy(value) for name, value in given.items()}, names


def compared(case: Case) -> dict[str, Any]:
    flat, given, names = traced(case)
    try:
        module = SavedModelModule(flat, given, {})
    except InvalidModel as error:
        return {"ops": [], "told": str(error)}
    run = TensorFlowRun(flat.definition, [f"{name}:0" for name in given], names, {}, 1)
    inputs = list(given.values())
    told = ""
    for seen, true in zip(module(*inputs), run(inputs), strict=True):
        try:
            torch.testing.assert_close(seen, true, rtol=1e-4, atol=1e-5, equal_nan=True)
        except AssertionError as error:
            told = str(error)
    return {"ops": sorted({node.op for node in flat.nodes}), "told": told}


def refusal(case: Case) -> str:
    try:
        flat, given, _ = traced(case)
        SavedModelModule(flat, given, {})
    except InvalidModel as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()
