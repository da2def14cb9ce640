import numpy as np
import pytest
import torch
from torch import nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.core.step import StepContext
from mobilesdk.data.ingest import ingest
from mobilesdk.graph.program import export_program, save_program
from mobilesdk.graph.reference import write_reference

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
