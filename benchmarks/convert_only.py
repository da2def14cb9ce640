"""The yardstick: convert a model to one format with the vendor's calls, and do nothing else.

    python benchmarks/convert_only.py FORMAT OUTPUT

It compresses nothing, checks nothing, and records nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from examples.efficientnet_lite0 import build


def to_coreml(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Path) -> None:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # else importing it crashes
    import coremltools as ct

    program = torch.export.export(module, inputs).run_decompositions({})
    ct.convert(program, minimum_deployment_target=ct.target.iOS16).save(str(output))


def to_executorch(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(module, inputs)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    output.write_bytes(edge.to_executorch().buffer)


def to_litert(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: Path) -> None:
    import litert_torch

    litert_torch.convert(module, inputs).export(str(output))


CONVERTERS = {
    "mlpackage": to_coreml,
    "pte": to_executorch,
    "tflite": to_litert,
}


def main() -> None:
    suffix, output = sys.argv[1], Path(sys.argv[2])
    spec = build()
    with torch.no_grad():
        CONVERTERS[suffix](spec.module, spec.example_inputs, output)


if __name__ == "__main__":
    main()
