"""Run in a process of its own: packages by coremltools' compression, and what it decodes itself.

The last argument is a folder. Writes ``<scheme>.mlpackage`` and ``<scheme>.npz`` (dense values
by ``op/parameter``, after coremltools' ``decompress_weights``), and ``original.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import coremltools as ct
import coremltools.optimize.coreml as cto
import numpy as np
from coremltools.converters.mil.mil import Builder as mb

RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "conv": RANDOM.normal(size=(64, 48, 3, 3)).astype(np.float32),
    "depthwise": RANDOM.normal(size=(64, 1, 9, 9)).astype(np.float32),
    "large": RANDOM.normal(size=(320, 64, 2, 2)).astype(np.float32),  # above 65,504 elements
    "indivisible": RANDOM.normal(size=(61, 320, 1, 1)).astype(np.float32),
}
ADDED = RANDOM.normal(size=(1, 61, 6, 7)).astype(np.float32)  # a constant that is no weight


def program(target: Any) -> Any:
    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 48, 17, 18))], opset_version=target)
    def main(x: Any) -> Any:
        y = mb.conv(x=x, weight=WEIGHTS["conv"], name="conv")
        y = mb.conv(x=y, weight=WEIGHTS["depthwise"], groups=64, name="depthwise")
        y = mb.conv(x=y, weight=WEIGHTS["large"], name="large")
        y = mb.conv(x=y, weight=WEIGHTS["indivisible"], name="indivisible")
        return mb.add(x=y, y=ADDED, name="add")

    return ct.convert(
        main, convert_to="mlprogram", minimum_deployment_target=target, skip_model_load=True
    )


def dense(model: Any) -> dict[str, np.ndarray]:
    function = model._mil_program.functions["main"]
    return {
        f"{op.name}/{parameter}": op.inputs[parameter].val
        for op in function.operations
        for parameter in ("weight", "y")
        if parameter in op.inputs and op.op_type in ("conv", "add")
    }


def linear(**fields: Any) -> Any:
    config = cto.OpLinearQuantizerConfig(weight_threshold=0, **fields)
    return lambda model, joint=False: cto.linear_quantize_weights(
        model, cto.OptimizationConfig(config), joint_compression=joint
    )


def palettize(**fields: Any) -> Any:
    config = cto.OpPalettizerConfig(weight_threshold=0, **fields)
    return lambda model, joint=False: cto.palettize_weights(
        model, cto.OptimizationConfig(config), joint_compression=joint
    )


def threshold() -> Any:
    config = cto.OpThresholdPrunerConfig(
        threshold=0.6, minimum_sparsity_percentile=0.0, weight_threshold=0
    )
    return lambda model, joint=False: cto.prune_weights(
        model, cto.OptimizationConfig(config), joint_compression=joint
    )


def magnitude() -> Any:
    config = cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0)
    return lambda model, joint=False: cto.prune_weights(model, cto.OptimizationConfig(config))


def chain(first: Any, *others: Any) -> Any:
    def run(model: Any) -> Any:
        model = first(model)
        for other in others:
            model = other(model, joint=True)
        return model

    return run


SYMMETRIC, AFFINE = "linear_symmetric", "linear"
TABLES = {"mode": "uniform", "granularity": "per_tensor"}
GROUPS = {"mode": "uniform", "granularity": "per_grouped_channel", "group_size": 16}
IOS16 = {
    "ios16_int8_channel": linear(mode=SYMMETRIC, granularity="per_channel"),
    "ios16_int8_affine": linear(mode=AFFINE, granularity="per_channel"),
    "ios16_uint8_tensor": linear(mode=AFFINE, dtype="uint8", granularity="per_tensor"),
    "ios16_palette1": palettize(nbits=1, **TABLES),
    "ios16_palette2": palettize(nbits=2, **TABLES),
    "ios16_palette8": palettize(nbits=8, **TABLES),
    "ios16_palette4": palettize(nbits=4, **TABLES),
    "ios16_palette6": palettize(nbits=6, **TABLES),
    "ios16_sparse": threshold(),
}
IOS18 = {
    "int8_channel": linear(mode=SYMMETRIC, granularity="per_channel"),
    "uint8_affine": linear(mode=AFFINE, dtype="uint8", granularity="per_channel"),
    "int8_tensor": linear(mode=SYMMETRIC, granularity="per_tensor"),
    "int4_channel": linear(mode=SYMMETRIC, dtype="int4", granularity="per_channel"),
    "uint4_affine": linear(mode=AFFINE, dtype="uint4", granularity="per_channel"),
    "int4_block16": linear(mode=SYMMETRIC, dtype="int4", granularity="per_block", block_size=16),
    "uint4_block16": linear(mode=AFFINE, dtype="uint4", granularity="per_block", block_size=16),
    "palette1": palettize(nbits=1, **TABLES),
    "palette2": palettize(nbits=2, **TABLES),
    "palette3": palettize(nbits=3, **TABLES),
    "palette4": palettize(nbits=4, **TABLES),
    "palette6": palettize(nbits=6, **TABLES),
    "palette8": palettize(nbits=8, **TABLES),
    "palette4_group16": palettize(nbits=4, **GROUPS),
    "palette3_group16": palettize(nbits=3, **GROUPS),
    "palette4_vector2": palettize(nbits=4, mode="kmeans", cluster_dim=2),
    "palette4_scaled": palettize(nbits=4, enable_per_channel_scale=True, **GROUPS),
    "palette4_int8_table": chain(
        palettize(nbits=4, **TABLES), linear(mode=SYMMETRIC, granularity="per_tensor")
    ),
    "palette4_group16_int8_table": chain(
        palettize(nbits=4, **GROUPS), linear(mode=SYMMETRIC, granularity="per_tensor")
    ),
    "sparse": threshold(),
    "sparse_uint8_affine": chain(
        threshold(), linear(mode=AFFINE, dtype="uint8", granularity="per_channel")
    ),
    "sparse_palette6": chain(threshold(), palettize(nbits=6, **TABLES)),
    "sparse_palette4": chain(threshold(), palettize(nbits=4, **TABLES)),
    "sparse_palette4_group16": chain(threshold(), palettize(nbits=4, **GROUPS)),
    "sparse_int8": chain(threshold(), linear(mode=SYMMETRIC, granularity="per_channel")),
    "sparse_int4_block16": chain(
        threshold(),
        linear(mode=SYMMETRIC, dtype="int4", granularity="per_block", block_size=16),
    ),
    "sparse_palette4_int8_table": chain(
        threshold(),
        palettize(nbits=4, **TABLES),
        linear(mode=SYMMETRIC, granularity="per_tensor"),
    ),
    "magnitude": magnitude(),
}


def main(folder: Path) -> None:
    for target, schemes in ((ct.target.iOS16, IOS16), (ct.target.iOS18, IOS18)):
        model = program(target)
        for name, compress in schemes.items():
            compressed = compress(model)
            compressed.save(str(folder / f"{name}.mlpackage"))
            np.savez(folder / f"{name}.npz", **dense(cto.decompress_weights(compressed)))
    originals = {f"{name}/weight": value for name, value in WEIGHTS.items()}
    np.savez(folder / "original.npz", **originals, **{"add/y": ADDED})


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
