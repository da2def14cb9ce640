from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mobilesdk.core.contract import (
    ArrayInput,
    Contract,
    ImageInput,
    InputSpec,
    OutputSpec,
    TokenInput,
)

OUTPUTS = (OutputSpec(name="y", shape=(1, 4), dtype="float32"),)


@pytest.fixture
def image_contract() -> Contract:
    image = ImageInput(size=(24, 32), mean=127.0, std=128.0)
    return Contract(
        inputs=(InputSpec(name="x", shape=(1, 3, 24, 32), dtype="float32", preparation=image),),
        outputs=OUTPUTS,
    )


@pytest.fixture
def text_contract() -> Contract:
    tokens = TokenInput(vocabulary_size=100)
    return Contract(
        inputs=(
            InputSpec(name="ids", shape=(1, 6), dtype="int64", preparation=tokens),
            InputSpec(name="mask", shape=(1, 6), dtype="float32", preparation=ArrayInput()),
        ),
        outputs=OUTPUTS,
    )


@pytest.fixture
def array_contract() -> Contract:
    return Contract(inputs=(InputSpec(name="x", shape=(1, 5), dtype="float32"),), outputs=OUTPUTS)


def smooth_image(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """A picture that is smooth as photos are: coarse random colours, scaled up."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "images", count: int = 32, first_seed: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            smooth_image(first_seed + number).save(folder / f"{number:03}.png")
        return folder

    return make


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder
