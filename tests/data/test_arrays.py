import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilesdk.core.contract import StateSpec
from mobilesdk.data.source import open_samples
from mobilesdk.errors import InvalidDataset


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture
def good(tmp_path):
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 100, (32, 6))
    return save(tmp_path / "good.npz", ids=ids, mask=np.ones((32, 6), np.float32))


def test_samples_have_the_contracts_order_shapes_and_dtypes(good, text_contract):
    samples = list(open_samples(good, text_contract))
    assert len(samples) == 32
    assert list(samples[0].arrays) == ["ids", "mask"]
    assert samples[3].arrays["ids"].shape == (1, 6)
    np.testing.assert_array_equal(samples[3].arrays["ids"][0], np.load(good)["ids"][3])


@pytest.mark.parametrize("shape", [(4, 5), (4, 1, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_npy_with_and_without_the_batch_axis(tmp_path, array_contract, shape, order, byte_order):
    values = np.arange(20, dtype=np.float32).reshape(shape)
    stored = np.asarray(values, dtype=f"{byte_order}f4", order=order)
    np.save(tmp_path / "x.npy", stored)
    samples = list(open_samples(tmp_path / "x.npy", array_contract))
    np.testing.assert_array_equal(samples[2].arrays["x"], [[10, 11, 12, 13, 14]])
    assert samples[2].arrays["x"].dtype == np.dtype("float32")


def wrong(**changes):
    arrays = {"ids": np.zeros((32, 6), np.int64), "mask": np.ones((32, 6), np.float32)}
    arrays.update(changes)
    return {name: array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (wrong(mask=None), "lacks the input 'mask'"),
        (wrong(extra=np.zeros(3)), "'extra', which is no input"),
        (wrong(ids=np.zeros((32, 6), np.int32)), "int32, but the input is int64"),
        (wrong(mask=np.ones((32, 6))), "float64, but the input is float32"),
        (wrong(ids=np.zeros((32, 7), np.int64)), r"shape \[32, 7\]"),
        (wrong(ids=np.zeros(6, np.int64)), r"shape \[6\]"),
        (wrong(ids=np.int64(3)), r"shape \[\]"),
        (wrong(mask=np.ones((31, 6), np.float32)), "ids 32, mask 31"),
        (wrong(ids=np.array([{}] * 32, object)), "Python objects"),
        ({}, "lacks the input"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, text_contract, arrays, reason):
    path = save(tmp_path / "x.npz", **arrays)
    with pytest.raises(InvalidDataset, match=reason) as caught:
        open_samples(path, text_contract)
    assert caught.value.hint


def test_an_empty_array_is_refused(tmp_path, array_contract):
    np.save(tmp_path / "x.npy", np.zeros((0, 5), np.float32))
    with pytest.raises(InvalidDataset, match="is empty"):
        open_samples(tmp_path / "x.npy", array_contract)


def test_npy_for_two_inputs_is_refused(tmp_path, text_contract):
    np.save(tmp_path / "x.npy", np.zeros((40, 6), np.int64))
    with pytest.raises(InvalidDataset, match="2 inputs"):
        open_samples(tmp_path / "x.npy", text_contract)


@pytest.mark.parametrize("name", ["missing.npz", "notes.txt"])
def test_what_is_no_set_is_refused(tmp_path, array_contract, name):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InvalidDataset):
        open_samples(tmp_path / name, array_contract)


def header(text, *, length=None):
    data = text.encode()
    return b"\x93NUMPY\x01\x00" + (length or len(data)).to_bytes(2, "little") + data


HOSTILE = {
    "more than there is": header("{'descr': '<f4', 'fortran_order': False, 'shape': (9000, 5)}\n"),
    "more than memory": header(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000, 5)}\n"
    ),
    "negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 5)}\n"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (4, 5)}\n") + b"cos\nx\n.",
    "a long header": header("{" + " " * 20_000 + "}", length=20_002),
    "nesting": header("(" * 9_000),
    "a call": header("__import__('os').abort()"),
    "cut off": header("{'descr'", length=4_000),
    "another version": b"\x93NUMPY\x09\x00\x00\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_hostile_headers_are_refused(tmp_path, array_contract, name, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "npy":
        path.write_bytes(HOSTILE[name])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", HOSTILE[name])
    with pytest.raises(InvalidDataset):
        open_samples(path, array_contract)


def test_a_damaged_archive_is_refused(tmp_path, good, text_contract):
    data = bytearray(good.read_bytes())
    data[200] ^= 0xFF  # inside the first array: the checksum is wrong
    (tmp_path / "bad.npz").write_bytes(data)
    with pytest.raises(InvalidDataset, match="cannot be read"):
        open_samples(tmp_path / "bad.npz", text_contract)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 127), value=st.integers(0, 255))
def test_any_changed_byte_of_a_header_is_read_or_refused(tmp_path, array_contract, place, value):
    path = tmp_path / "x.npy"
    np.save(path, np.arange(20, dtype=np.float32).reshape(4, 5))
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)
    try:
        samples = list(open_samples(path, array_contract))
    except InvalidDataset:
        return
    assert all(sample.arrays["x"].shape == (1, 5) for sample in samples)


@pytest.fixture
def stateful_contract(text_contract):
    state = StateSpec(name="cache", shape=(2,), dtype="float32")
    return text_contract.model_copy(update={"states": (state,)})


def sequences(steps=5, mask_steps=5):
    return {
        "ids": np.arange(3 * steps * 6).reshape(3, steps, 6),
        "mask": np.ones((3, mask_steps, 1, 6), np.float32),
    }


def test_a_sample_of_a_model_with_states_is_a_sequence(tmp_path, stateful_contract):
    samples = list(open_samples(save(tmp_path / "s.npz", **sequences()), stateful_contract))
    assert len(samples) == 3
    assert samples[1].arrays["ids"].shape == samples[1].arrays["mask"].shape == (5, 1, 6)
    assert samples[1].arrays["ids"][0, 0, 0] == 30


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (sequences(mask_steps=4), "different numbers of steps: ids 5, mask 4"),
        (sequences(steps=0), r"ids in s.npz has the shape \[3, 0, 6\]"),
        (wrong(), r"shape \[32, 6\], but a step of the input is \[1, 6\]"),
    ],
)
def test_what_is_no_sequence_is_refused(tmp_path, stateful_contract, arrays, reason):
    with pytest.raises(InvalidDataset, match=reason):
        open_samples(save(tmp_path / "s.npz", **arrays), stateful_contract)


def test_a_folder_of_images_holds_no_sequences(make_folder, image_contract):
    state = StateSpec(name="cache", shape=(2,), dtype="float32")
    contract = image_contract.model_copy(update={"states": (state,)})
    with pytest.raises(InvalidDataset, match="a sample is a sequence of steps") as caught:
        open_samples(make_folder(), contract)
    assert "[samples, steps, …]" in caught.value.hint
