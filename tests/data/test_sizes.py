"""Samples of other sizes than the example's, where the contract has dimensions."""

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.core.dimension import Dimension
from mobilesdk.data.ingest import ingest
from mobilesdk.data.stored import StoredSamples, row_path
from mobilesdk.errors import FileRejected, InvalidDataset

CODE = """
import numpy as np


def lengths(largest):
    for place in range(32):
        ids = np.arange(place, place + 2 + place % (largest - 1))
        yield {"ids": ids, "mask": np.ones(ids.shape, np.float32)}


def allowed():
    return lengths(8)


def too_long():
    return lengths(9)


unequal = [{"ids": np.arange(4), "mask": np.ones(5, np.float32)}]
"""


@pytest.fixture
def contract(text_contract):
    length = Dimension(name="length", min=2, max=8, axes={"ids": 1, "mask": 1})
    return text_contract.model_copy(update={"dimensions": (length,)})


@pytest.fixture
def sets(tmp_path):
    (tmp_path / "sets.py").write_text(CODE)
    return lambda name: Path(f"{tmp_path / 'sets.py'}:{name}")


def test_every_sample_keeps_its_size(contract, sets, output):
    ingest(sets("allowed"), contract, output)
    stored = StoredSamples(output)
    assert stored.index.is_ragged
    assert [each.shape for each in stored.index.inputs] == [(1, 6), (1, 6)]
    found = [sample["ids"] for sample in stored]
    assert [ids.shape[1] for ids in found] == [2 + place % 7 for place in range(32)]
    assert found[9].tolist() == [[9, 10, 11, 12]]


def test_a_size_that_is_not_allowed_is_refused(contract, text_contract, sets, output):
    with pytest.raises(InvalidDataset, match=r"ids \[1, 9\], .* has length of 2 … 8"):
        ingest(sets("too_long"), contract, output)
    with pytest.raises(InvalidDataset, match=r"sample 0 has ids \[1, 4\], mask \[1, 5\]"):
        ingest(sets("unequal"), contract, output)
    with pytest.raises(InvalidDataset, match=r"\[2\], but the input is int64\[1, 6\]"):
        ingest(sets("allowed"), text_contract, output)


def test_a_stored_set_that_lacks_a_sample_is_rejected(contract, sets, output):
    ingest(sets("allowed"), contract, output)
    np.save(row_path(output, "ids", 3), np.zeros(4, np.int64))
    with pytest.raises(FileRejected, match="in sample 3"):
        StoredSamples(output)
    row_path(output, "ids", 3).unlink()
    with pytest.raises(FileRejected):
        StoredSamples(output)
