import numpy as np
import pytest
import torch
from torch import nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.step import StepContext
from mobilesdk.data.ingest import ingest
from mobilesdk.errors import InvalidDataset
from mobilesdk.graph.program import export_program, save_program
from mobilesdk.graph.reference import write_reference
from mobilesdk.graph.symbols import contract_shapes

CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(1, 3), dtype="float32"),),
    outputs=(OutputSpec(name="y", shape=(1, 2), dtype="float32"),),
)


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.Linear(3, 2).eval()


@pytest.fixture
def write(tmp_path, module):
    """Write the reference of a linear module on 40 samples into a folder."""
    read, stored, output = (tmp_path / name for name in ("read", "set", "output"))
    for folder in (read, stored, output):
        folder.mkdir()
    save_program(export_program(module, (torch.zeros(1, 3),)), read / "original.pt2")
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    samples = ingest(tmp_path / "x.npy", CONTRACT, stored)

    def write():
        context = StepContext(output)
        write_reference(read, CONTRACT, evaluation=samples, calibration=None, context=context)
        return values

    return write


def test_each_output_of_each_sample_is_written(write, module, tmp_path):
    values = write()
    with torch.no_grad():
        expected = module(torch.from_numpy(values)).numpy()[:, None]
    written = np.load(tmp_path / "output" / "reference_0.npy")
    np.testing.assert_allclose(written, expected, rtol=1e-5, atol=1e-6)


def test_a_device_without_space_is_an_error_and_no_signal(write, tmp_path):
    (tmp_path / "output" / "reference_0.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        write()


class Halves(nn.Module):
    """Gives the mean of a row, and the row halved: the second follows its length."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, *inputs):
        (x,) = inputs
        return (x.mean(1, keepdim=True), x / 2)[: self.count]


class Rows(list):
    """Samples in memory."""

    digest = ""

    def __iter__(self):
        return ({"x": values} for values in super().__iter__())


@pytest.fixture
def write_rows(tmp_path):
    """Write the reference for rows of several lengths, of one output or both."""
    length = Dimension(name="length", min=2, max=8, axes={"x": 1})
    mean = OutputSpec(name="m", shape=(1, 1), dtype="float32")
    halved = OutputSpec(name="h", shape=(1, 3), dtype="float32", varying=(1,))
    contract = CONTRACT.model_copy(update={"dimensions": (length,), "outputs": (mean, halved)})
    rows = Rows([np.full((1, size), size, np.float32) for size in (3, 3, 3, 3, 5)])

    def write(count):
        only = contract.model_copy(update={"outputs": contract.outputs[:count]})
        program = export_program(Halves(count), [torch.zeros(1, 3)], contract_shapes(only))
        save_program(program, tmp_path / "original.pt2")
        context = StepContext(tmp_path)
        write_reference(tmp_path, only, evaluation=rows, calibration=None, context=context)

    return write


def test_samples_of_other_sizes_have_outputs_of_one_shape(write_rows, tmp_path):
    with pytest.raises(InvalidDataset, match=r"Sample 4 .* has length=5, .* of h follows"):
        write_rows(2)
    write_rows(1)
    written = np.load(tmp_path / "reference_0.npy")
    assert written[:, 0, 0].tolist() == [3, 3, 3, 3, 5]
