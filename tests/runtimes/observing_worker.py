"""Compare a small network with its artifact in one format, in a process of its own.

``python -m tests.runtimes.observing_worker FORMAT FOLDER`` writes ``good.json`` and ``bad.json``
(`LayerReport`), the second of a file in which the weights of the layer ``middle`` are multiplied by
1.5, and ``profile.json`` where the format has one.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.step import StepContext
from mobilesdk.graph.observe import write_float_ops
from mobilesdk.graph.program import export_program, load_program, save_program
from mobilesdk.plugins import ProfilingRuntime, runtime
from mobilesdk.verify.layers import compare_layers

CONTRACT = Contract(
    inputs=(InputSpec(name="image", shape=(1, 3, 16, 16), dtype="float32"),),
    outputs=(OutputSpec(name="logits", shape=(1, 10), dtype="float32"),),
)
FAULT = 1.5


class Net(nn.Module):
    """Convolutions that converters fuse and lay out anew, and a layer norm between linear layers.

    XNNPACK takes no layer norm, so in ExecuTorch each linear layer is in a delegate of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.first = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.middle = nn.Linear(16, 12)
        self.last_norm = nn.LayerNorm(12)
        self.last = nn.Linear(12, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.depthwise(self.stem(image).relu()).relu()
        x = self.norm(self.first(x.flatten(2).transpose(1, 2)))
        x = self.last_norm(self.middle(x).relu())
        return self.last(x).mean(1)


def coreml(program: torch.export.ExportedProgram, path: Path) -> None:
    from mobilesdk.lowering.coreml.convert import to_mil, write_package

    mil = to_mil(program, CONTRACT, target="iOS16", compute_precision="float32", keep_weights=False)
    write_package(mil, path, target="iOS16", compute_units="all")


def litert(program: torch.export.ExportedProgram, path: Path) -> None:
    from mobilesdk.lowering.litert.conversion import convert_to_litert

    path.write_bytes(convert_to_litert({"serving_default": program}))


def executorch(program: torch.export.ExportedProgram, path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    from mobilesdk.lowering.executorch.lower import lower, serialize

    path.write_bytes(serialize(lower(program, [XnnpackPartitioner()])))


FORMATS: dict[str, Callable[[torch.export.ExportedProgram, Path], None]] = {
    "coreml": coreml,
    "executorch": executorch,
    "litert": litert,
}


def damage(good: Path, bad: Path, weight: np.ndarray) -> None:
    """Copy an artifact with the bytes of a weight replaced by those of a multiple of it."""
    if good.is_dir():
        shutil.copytree(good, bad)
        file = next(bad.rglob("weight.bin"))
    else:
        file = Path(shutil.copy(good, bad))
    content = file.read_bytes()
    assert content.count(weight.tobytes()) == 1
    file.write_bytes(content.replace(weight.tobytes(), (weight * np.float32(FAULT)).tobytes()))


def main(name: str, folder: Path) -> None:
    """Export, compare, damage, compare again."""
    program_path = folder / "program.pt2"
    example = (torch.zeros(1, 3, 16, 16),)
    save_program(export_program(Net().eval(), example), program_path)
    program = load_program(program_path)
    plugin = runtime(name)
    good, bad = folder / f"good{plugin.suffix}", folder / f"bad{plugin.suffix}"
    FORMATS[name](program, good)
    damage(good, bad, program.state_dict["middle.weight"].detach().numpy())
    rng = np.random.default_rng(0)
    samples = [{"image": rng.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(3)]
    context = StepContext(folder)
    write_float_ops(program_path, CONTRACT, samples, 3, context)  # type: ignore[arg-type] # a list
    for path in (good, bad):
        compare_layers(
            path,
            runtime_name=name,
            contract=CONTRACT,
            floats=folder,
            samples=samples,  # type: ignore[arg-type] # a list
            context=context,
        )
        (folder / "layers.json").rename(folder / f"{path.stem}.json")
    if isinstance(plugin, ProfilingRuntime):
        profile = plugin.profile(good, 5, 1)
        (folder / "profile.json").write_text(profile.model_dump_json())


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of converters; the comparison is what is tested
    main(sys.argv[1], Path(sys.argv[2]))
