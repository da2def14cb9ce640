"""Packages that are more than arrays of one shape: described, and compared with their model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import mobilesdk
from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract, ImageInput, InputSpec, OutputSpec
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.plugins import runtime
from mobilesdk.verify.soundness import enforce_contract
from tests.runtimes.kinds_of_package import LABELS, Scores

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODELS = Path(__file__).with_name("kinds_of_package.py")
CONTRACT = Contract(
    inputs=(
        InputSpec(
            name="image",
            shape=(1, 3, 8, 8),
            dtype="float32",
            preparation=ImageInput(size=(8, 8), mean=127.5, std=127.5),
        ),
    ),
    outputs=(OutputSpec(name="scores", shape=(1, 5), dtype="float32", kind="classification"),),
)
Verify = Callable[..., Any]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a package of every kind, and the sets of both models."""
    folder = tmp_path_factory.mktemp("kinds")
    script = Path(__file__).with_name("kinds_worker.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (8, 1, 3, 1, 1))
    pixels = np.clip(colours + random.integers(-60, 60, (8, 1, 3, 8, 8)), 0, 255)
    images = ((pixels - 127.5) / 127.5).astype(np.float32)
    np.savez(folder / "images.npz", image=images.reshape(8, 3, 8, 8))
    np.savez(folder / "vectors.npz", x=random.normal(size=(8, 4)).astype(np.float32))
    return folder


@pytest.fixture
def verify(command_line: Any, packages: Path) -> Verify:
    def run(name: str, model: str = "scores") -> Any:
        return command_line(
            *("verify", packages / f"{name}.mlpackage", "--model", f"{MODELS}:{model}"),
            *("--evaluation", packages / "images.npz", "--json"),
        )

    return run


def inspect(packages: Path, name: str) -> ArtifactInfo:
    return runtime("coreml").inspect(packages / f"{name}.mlpackage")


def sqnr_db(result: Any) -> float:
    check = result.json["checks"][-1]
    assert check["verdict"] == "measured", result.err
    return float(check["detail"].partition("sqnr_db ")[2].partition(",")[0])


@pytest.mark.parametrize(
    ("name", "model"), [("classifier", "labelled"), ("image", "scores"), ("two", "scores")]
)
def test_it_is_compared_with_its_model(name: str, model: str, verify: Verify) -> None:
    result = verify(name, model)
    assert result.code == 0, result.err
    assert sqnr_db(result) > 50


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("other_ranges", "scores", ["'image' is float32[1, 3, 9…16, 9…16]"]),
        ("classifier", "labelled_in_another_order", ["class 0 is 'ant'", "'elk'"]),
    ],
)
def test_what_does_not_fit_its_model_is_refused(
    name: str, model: str, words: list[str], verify: Verify
) -> None:
    result = verify(name, model)
    told = json.dumps(result.json, ensure_ascii=False)
    assert result.code == 1
    assert all(word in told for word in words)


def run(packages: Path, name: str, image: NDArray[Any]) -> NDArray[Any]:
    """Run a package as a contract says whose image is prepared from pixels."""
    plugin, path = runtime("coreml"), packages / f"{name}.mlpackage"
    enforce_contract(plugin.inspect(path), CONTRACT)
    session = plugin.load(path, CONTRACT, 1)
    return session.run({"image": image})["scores"]


@pytest.mark.parametrize(
    ("name", "is_same"),
    [
        ("ranges", True),
        ("listed", True),
        ("half", True),
        ("numbered_classifier", True),
        ("image", True),
        ("image_scaled_wrong", False),
    ],
)
def test_numbers_are_those_of_the_model(name: str, is_same: bool, packages: Path) -> None:
    image = np.load(packages / "images.npz")["image"][:1]
    with torch.no_grad():
        expected = Scores().eval()(torch.from_numpy(image)).numpy()
    found = run(packages, name, image)
    assert (found.dtype, found.shape) == (np.float32, (1, 5))
    assert np.allclose(found, expected, atol=2e-3) == is_same


def test_an_image_needs_whole_pixels(packages: Path) -> None:
    image = np.full((1, 3, 8, 8), (100.4 - 127.5) / 127.5, np.float32)
    assert run(packages, "ranges", image).shape == (1, 5)
    with pytest.raises(ArtifactInvalid, match="no whole pixels") as refused:
        run(packages, "image", image)
    assert "give a set of images" in refused.value.hint


def test_a_classifier_is_described_with_its_classes(packages: Path) -> None:
    info = inspect(packages, "classifier")
    assert info.problems == ()
    assert [(item.name, item.shape) for item in info.outputs] == [("classLabel_probs", (1, 5))]
    assert info.classifier is not None
    assert (info.classifier.label, info.classifier.classes) == ("classLabel", LABELS)
    numbered = inspect(packages, "numbered_classifier").classifier
    assert numbered is not None
    assert numbered.classes == (7, 3, 9, 1, 5)
    assert inspect(packages, "ranges").classifier is None


@pytest.mark.usefixtures("command_line")
def test_every_sample_starts_a_sequence_of_its_own(packages: Path) -> None:
    """A running sum that went on from sample to sample would be another one."""
    (state,) = inspect(packages, "stateful").states
    assert (state.name, state.shape, state.dtype) == ("total", (1, 4), "float16")
    report = mobilesdk.verify(
        packages / "stateful.mlpackage",
        model=f"{MODELS}:first_step",
        evaluation=packages / "vectors.npz",
    )
    assert report.passed
    detail = report.checks[-1].detail
    assert float(detail.partition("sqnr_db ")[2].partition(",")[0]) > 50


def test_a_state_is_shown(command_line: Any, packages: Path) -> None:
    for name, shown in (("stateful", True), ("ranges", False)):
        result = command_line("inspect", packages / f"{name}.mlpackage")
        assert result.code == 0
        assert ("total: float16[1, 4]" in result.out) == shown


@pytest.mark.parametrize(
    ("name", "model", "samples", "output"),
    [("stateful", "first_step", "vectors", "y"), ("classifier", "labelled", "images", "scores")],
)
def test_layers_are_compared(
    name: str, model: str, samples: str, output: str, command_line: Any, packages: Path
) -> None:
    result = command_line(
        *("inspect", packages / f"{name}.mlpackage", "--layers", "--json"),
        *("--model", f"{MODELS}:{model}", "--evaluation", packages / f"{samples}.npz"),
    )
    assert result.code == 0, result.err
    found = {layer["op"]["output"]: layer for layer in result.json["layers"]}
    assert found[output]["sqnr_db"] > 50


def test_all_functions_are_looked_at_and_the_default_one_runs(
    command_line: Any, packages: Path, verify: Verify
) -> None:
    result = command_line("inspect", packages / "two.mlpackage", "--json").json
    assert result["function"] == "first"
    assert [item["name"] for item in result["other_functions"]] == ["second"]
    weights = {tuple(item["functions"]): item["op"] for item in result["weights"]}
    assert weights == {("first", "second"): "conv", ("first",): "linear", ("second",): "linear"}
    alone = inspect(packages, "first")
    assert [op["function"] for op in result["ops"]] == ["first"] * len(alone.ops) + [
        "second"
    ] * len(alone.ops)
    structure = verify("two").json["checks"][0]
    assert structure["verdict"] == "passed"
    assert "not run: second" in structure["detail"]


@pytest.mark.parametrize(("name", "op"), [("random", "random_normal"), ("custom", "custom_layer")])
def test_what_no_run_can_know_is_unverifiable(
    name: str, op: str, packages: Path, verify: Verify
) -> None:
    result = verify(name)
    assert (result.code, result.json["passed"]) == (0, None), result.err
    structure, parity = result.json["checks"]
    assert (structure["verdict"], parity["verdict"]) == ("passed", "unverifiable")
    assert op in parity["detail"]
