from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.graph.program import export_program
from mobilesdk.plugins import discovery
from tests.programs import write_program


class Net(nn.Module):
    """One weight of each role, large enough to be compressed; two inputs, tied to no order."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3)  # too small to be worth it: 432 elements
        self.conv = nn.Conv2d(16, 32, 3)
        self.depthwise = nn.Conv2d(32, 32, 9, groups=32)
        self.up = nn.ConvTranspose2d(32, 40, 2, stride=2)
        self.table = nn.Embedding(100, 40)
        self.linear = nn.Linear(40, 60)

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        x = self.conv(self.stem(image).relu()).relu()
        x = self.up(self.depthwise(x).relu()).mean((2, 3))
        return self.linear(x + self.table(ids).mean(1))


class Calibration:
    """A few samples; what a step is handed as its calibration set."""

    digest = "0" * 64

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        generator = np.random.default_rng(0)
        for _ in range(len(self)):
            yield {
                "ids": generator.integers(0, 100, (1, 4)),
                "image": generator.normal(size=(1, 3, 16, 16)).astype(np.float32),
            }


@pytest.fixture(scope="session")
def calibration() -> Calibration:
    return Calibration()


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("float")
    inputs = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 4, dtype=torch.int64))
    program = export_program(Net().eval(), inputs)
    contract = Contract(
        inputs=(
            InputSpec(name="image", shape=(1, 3, 16, 16), dtype="float32"),
            InputSpec(name="ids", shape=(1, 4), dtype="int64"),
        ),
        outputs=(OutputSpec(name="scores", shape=(1, 60), dtype="float32"),),
    )
    return write_program(program, contract, folder)


@pytest.fixture
def apply(tmp_path: Path, float_model: Model, calibration: Calibration) -> Callable[..., Model]:
    """Give a function that applies a method, each time into a new folder."""
    folders = iter(range(100))

    def run(method: str, model: Model = float_model, **fields: Any) -> Model:
        plugin = discovery.compressor(method)
        config = plugin.config.model_validate(fields)
        output = tmp_path / str(next(folders))
        output.mkdir()
        return plugin.apply(model, config, StepContext(output=output, calibration=calibration))

    return run
