"""Dimensions: sizes that differ from call to call stay so from the module to the program."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from mobilesdk import Dimension, ModelSpec
from mobilesdk.core.contract import Contract, InputSpec
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.sizes import flexibility_of, judged_sizes, label, listed_sizes, sizes_of
from mobilesdk.core.step import StepContext
from mobilesdk.data.resizing import resized
from mobilesdk.errors import ConversionFailed, InvalidContract, InvalidModel
from mobilesdk.graph.capture import write_model
from mobilesdk.graph.flatten import input_leaves
from mobilesdk.graph.module import checked_module, run_module
from mobilesdk.graph.program import graph_module, load_program
from mobilesdk.graph.reference import write_reference
from mobilesdk.graph.symbols import broadcast_shape, same_shape
from tests import flexible

TEN = Dimension(name="length", min=2, max=10, axes={"x": 1})
SQUARE = Dimension(name="side", sizes=(4, 8, 16), axes={"x": (2, 3)})


def read(spec: ModelSpec, folder: Path) -> Contract:
    module = checked_module(spec.module)
    inputs = input_leaves(module, spec.example_inputs)
    model = write_model(spec, inputs, run_module(module, inputs), None, StepContext(output=folder))
    return ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes()).contract


class Counting(nn.Module):
    """Makes constants of the shape of its input: one of them is the same in every call."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(10, 3))
        self.heads = nn.Parameter(torch.randn(3, 2, 4))

    def forward(self, x):
        rows = self.table[: x.shape[1]].expand(x.shape[0], -1, -1)
        counted = torch.ones_like(x).sum(1, keepdim=True)
        heads = torch.einsum("abc,cde->abde", x, self.heads)
        return x * rows + counted, x.mean(1) * x.new_full((3,), 2.0), heads


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return folder, read(flexible.texts(), folder)


def test_outputs_follow_the_dimensions_of_the_inputs(texts):
    folder, contract = texts
    text, tokens = contract.outputs
    assert (text.varying, tokens.varying) == ((), (1,))
    assert tokens.shape == (1, 12, 64)
    assert tokens.allows((1, 5, 64))
    assert not tokens.allows((1, 5, 63))
    module = flexible.texts().module
    program = graph_module(load_program(folder / "program.pt2"))
    for length in range(3, flexible.POSITIONS + 1):
        ids = torch.randint(flexible.VOCABULARY, (1, length))
        mask = torch.ones(1, length)
        for true, seen in zip(module(ids, mask).values(), program(ids, mask), strict=True):
            torch.testing.assert_close(seen, true)


def test_goldens_have_every_size_that_is_judged(texts, tmp_path):
    from safetensors.numpy import load_file

    folder, contract = texts
    write_reference(
        folder, contract, evaluation=None, calibration=None, context=StepContext(output=tmp_path)
    )
    inputs, outputs = (
        load_file(tmp_path / f"golden_{part}.safetensors") for part in ("inputs", "outputs")
    )
    assert {name: array.shape for name, array in inputs.items() if "ids" in name} == {
        "ids": (1, 1, 12),
        "length=3/ids": (1, 1, 3),
        "length=13/ids": (1, 1, 13),
        "length=24/ids": (1, 1, 24),
    }
    np.testing.assert_array_equal(inputs["length=24/mask"], np.tile(inputs["mask"], 2))
    assert outputs["length=24/tokens"].shape == (1, 1, 24, 64)


def test_what_is_made_of_a_size_is_no_constant_of_the_program(tmp_path):
    spec = ModelSpec(Counting().eval(), (torch.randn(1, 4, 3),), dimensions=(TEN,))
    contract = read(spec, tmp_path)
    assert [each.varying for each in contract.outputs] == [(1,), (), (1,)]
    program = load_program(tmp_path / "program.pt2")
    ops = {str(node.target) for node in program.graph.nodes}
    assert "aten.ones_like.default" in ops
    assert not ops & {"aten.new_full.default", "aten.einsum.default"}
    x = torch.randn(1, 9, 3)
    for true, seen in zip(spec.module(x), graph_module(program)(x), strict=True):
        torch.testing.assert_close(seen, true)


def test_a_batch_of_one_in_the_example_may_still_differ(tmp_path):
    batch = Dimension(name="batch", min=1, max=6, axes={"input_0": 0})
    spec = ModelSpec(nn.Linear(3, 2).eval(), (torch.randn(1, 3),), dimensions=(batch,))
    assert read(spec, tmp_path).outputs[0].varying == (0,)


def test_a_size_that_becomes_a_constant_is_refused_with_its_line(tmp_path, capfd):
    with pytest.raises(ConversionFailed, match="takes length for a constant, 12") as caught:
        read(flexible.texts(kind=flexible.Baked), tmp_path)
    source = Path(flexible.__file__)
    place = caught.value.place
    assert place.file == str(source)
    assert "int(ids.shape[1])" in source.read_text().splitlines()[place.line - 1]
    assert "guard" not in "".join(capfd.readouterr())


def test_a_model_that_fails_at_a_size_of_its_range_is_refused(tmp_path):
    longer = Dimension(name="length", min=3, max=25, axes={"ids": 1, "mask": 1})
    with pytest.raises(InvalidModel, match="does not run on inputs of length=25"):
        read(flexible.texts(dimensions=(longer,)), tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        {"min": 2},
        {"max": 2},
        {"min": 5, "max": 5},
        {"min": 0, "max": 5},
        {"sizes": (4, 4)},
        {"sizes": (8, 4)},
        {"sizes": (4, 8), "max": 9},
    ],
)
def test_a_dimension_has_a_smallest_and_a_largest_size(given):
    with pytest.raises(ValidationError):
        Dimension(name="length", axes={"x": 1}, **given)


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ([TEN.model_copy(update={"axes": {"y": (1,)}})], "axis 1 of the input 'y', which there is"),
        ([TEN.model_copy(update={"axes": {"x": (3,)}})], "axis 3 of the input 'x'"),
        ([TEN.model_copy(update={"max": 3})], "a size of 4 where the contract allows a length of"),
        ([TEN.model_copy(update={"axes": {"x": (1, 2)}})], "different sizes in the example: 3, 4"),
        ([TEN, TEN.model_copy(update={"name": "other"})], "of the dimensions 'length' and 'other'"),
        ([TEN.model_copy(update={"name": "a b"})], "is not an identifier"),
    ],
)
def test_a_dimension_that_contradicts_the_example_is_refused(tmp_path, dimensions, message):
    spec = ModelSpec(Counting().eval(), (torch.randn(1, 4, 3),), dimensions=tuple(dimensions))
    with pytest.raises(InvalidContract, match=message):
        read(spec, tmp_path)


def image(*dimensions):
    spec = InputSpec(name="x", shape=(1, 3, 8, 8), dtype="float32")
    return Contract(inputs=(spec,), outputs=(), dimensions=dimensions), spec


def test_listed_sizes_are_shapes_and_ranges_are_ranges():
    contract, spec = image(SQUARE)
    assert flexibility_of(contract, spec).shapes == ((1, 3, 4, 4), (1, 3, 8, 8), (1, 3, 16, 16))
    assert [label(sizes) for sizes in judged_sizes(contract)] == ["side=8", "side=4", "side=16"]
    assert sizes_of(contract, {"x": (1, 3, 4, 4)}) == {"side": 4}
    for shape in ((1, 3, 4, 8), (1, 3, 5, 5), (1, 2, 4, 4), (1, 3, 4), ()):
        assert sizes_of(contract, {"x": shape}) is None
    height, width = (
        Dimension(name=name, min=2, max=9, axes={"x": axis}) for name, axis in (("h", 2), ("w", 3))
    )
    contract, spec = image(height, width)
    assert str(flexibility_of(contract, spec)) == "[1, 3, 2…9, 2…9]"
    assert [label(sizes) for sizes in judged_sizes(contract)] == [
        "h=8,w=8",
        "h=2,w=2",
        "h=5,w=5",
        "h=9,w=9",
        "h=2,w=9",
        "h=9,w=2",
    ]
    sample = resized({"x": np.arange(192).reshape(1, 3, 8, 8)}, contract, {"h": 9, "w": 2})["x"]
    np.testing.assert_array_equal(sample[0, 0, -1], sample[0, 0, 0])
    assert sample.shape == (1, 3, 9, 2)


def test_all_combinations_of_listed_sizes_are_judged():
    height, width = (
        Dimension(name=name, sizes=(2, 8, 9), axes={"x": axis})
        for name, axis in (("h", 2), ("w", 3))
    )
    contract, _ = image(height, width)
    found = [label(sizes) for sizes in judged_sizes(contract)]
    assert found[:3] == ["h=8,w=8", "h=2,w=2", "h=2,w=8"]
    assert len(set(found)) == 9
    mixed, _ = image(height, Dimension(name="w", min=2, max=8, axes={"x": 3}))
    assert listed_sizes(mixed) == ()
    assert len(judged_sizes(mixed)) == 6


def test_a_symbol_is_never_the_number_of_its_example():
    program = torch.export.export(
        nn.ReLU(), (torch.zeros(4, 3),), dynamic_shapes=({0: torch.export.Dim("n", min=2, max=9)},)
    )
    (node,) = [node for node in program.graph.nodes if node.op == "placeholder"]
    size = node.meta["val"].shape[0]
    assert same_shape((size, 3), (size, 3))
    assert not same_shape((size, 3), (4, 3))
    assert broadcast_shape((1, 3), (size, 1)) == [size, 3]
    assert broadcast_shape((4, 3), (size, 3)) is None
    assert broadcast_shape((3,), (2, 1)) == [2, 3]
