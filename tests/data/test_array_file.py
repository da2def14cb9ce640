import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mobilesdk.data.array_file import ArrayFile
from mobilesdk.data.ingest import ingest
from mobilesdk.errors import WriteFailed

DTYPES = ("float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


@given(st.data())
def test_numpy_reads_what_was_appended(tmp_path_factory, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    rows = data.draw(arrays(dtype, array_shapes(max_dims=4, max_side=5)))
    path = tmp_path_factory.getbasetemp() / "rows.npy"
    with ArrayFile(path, dtype, rows.shape) as file:
        for row in rows:
            file.append(np.asarray(row))
    read = np.load(path, allow_pickle=False)
    assert read.dtype == rows.dtype
    np.testing.assert_array_equal(read, rows)


@pytest.mark.parametrize(
    "row", [np.zeros(3, np.float32), np.zeros((1, 2), np.float32), np.zeros(2, np.float64)]
)
def test_a_row_of_another_shape_or_dtype_is_refused(tmp_path, row):
    file = ArrayFile(tmp_path / "x.npy", "float32", (1, 2))
    with pytest.raises(ValueError, match="a row is"), file:
        file.append(row)


def test_rows_are_as_many_as_was_said(tmp_path):
    row = np.zeros(2, np.float32)
    file = ArrayFile(tmp_path / "x.npy", "float32", (2, 2))
    with pytest.raises(ValueError, match="1 rows were written of 2"), file:
        file.append(row)
    with ArrayFile(tmp_path / "x.npy", "float32", (1, 2)) as file:
        file.append(row)
        with pytest.raises(ValueError, match="no row after the 1"):
            file.append(row)


def test_what_a_block_raises_is_not_hidden_by_the_missing_rows(tmp_path):
    with pytest.raises(KeyError), ArrayFile(tmp_path / "x.npy", "float32", (2, 2)):
        raise KeyError("the reason")


def test_a_device_without_space_is_an_error_and_no_signal(tmp_path, array_contract):
    output = tmp_path / "set"
    output.mkdir()
    (output / "x.npy").symlink_to("/dev/full")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))
    with pytest.raises(WriteFailed, match="No space left on device") as caught:
        ingest(tmp_path / "a.npy", array_contract, output)
    assert "free some space" in caught.value.hint
    assert not (output / "samples.json").exists()
