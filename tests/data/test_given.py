"""Samples that a user's function gives: texts through a tokenizer, and iterables."""

from pathlib import Path

import numpy as np
import pytest

from mobilesdk.data.ingest import ingest
from mobilesdk.data.source import open_samples
from mobilesdk.errors import InvalidDataset
from mobilesdk.pipeline.keys import is_set, set_digest

CODE = """
import numpy as np

BUFFER = np.zeros((6,), np.int64)


def tokenize(text):
    codes = [ord(each) % 100 for each in text[:6]]
    ids = np.array(codes + [0] * (6 - len(codes)))
    return {"ids": ids, "mask": (ids > 0).astype(np.float64)}


def broken(text):
    return {"ids": text.nothing}


def samples():
    for place in range(32):
        BUFFER[:] = np.arange(6) + place
        yield {"ids": BUFFER, "mask": np.ones(6, np.float32), "labels": place % 3}


def endless():
    while True:
        yield {"ids": np.arange(6), "mask": np.ones(6, np.float32)}


def failing():
    yield from samples()
    raise KeyError("the 33rd")


def others():
    yield np.arange(6)


few = [{"ids": np.arange(6), "mask": np.ones((1, 6), np.float32)}]
wide = [{"ids": np.arange(7), "mask": np.ones(6, np.float32)}]
floats = [{"ids": np.arange(6.0), "mask": np.ones(6, np.float32)}]
lacking = [{"ids": np.arange(6)}]
more = [{"ids": np.arange(6), "mask": np.ones(6), "mask_": 1}]
ragged = [{"ids": [[1], [1, 2]], "mask": np.ones(6)}]
number = 3
"""


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "my_sets.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def of(code, text_contract):
    return lambda name: list(open_samples(Path(f"{code}:{name}"), text_contract))


def test_lines_of_a_text_become_the_inputs(tmp_path, code, text_contract, output):
    lines = [f"{place:02} text" for place in range(32)]
    (tmp_path / "texts.txt").write_text("\n".join([lines[0], "", *lines[1:]]) + "\n")
    path = tmp_path / "texts.txt"
    stored = ingest(path, text_contract, output, tokenizer=f"{code}:tokenize")
    assert (stored.index.kind, len(stored), stored.labels) == ("text", 32, None)
    assert [each.name for each in stored.index.samples[:3]] == ["line 1", "line 3", "line 4"]
    first = next(iter(stored))
    assert first["ids"].tolist() == [[ord(each) % 100 for each in "00 tex"]]
    assert (first["ids"].dtype, first["mask"].dtype) == (np.int64, np.float32)


def test_files_of_a_folder_are_texts_with_the_folder_as_label(tmp_path, code, text_contract):
    for name in ("good/a", "bad/b"):
        path = tmp_path / "texts" / f"{name}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(name)
    found = list(open_samples(tmp_path / "texts", text_contract, f"{code}:tokenize"))
    assert [(each.name, each.label) for each in found] == [
        ("bad/b.txt", "bad"),
        ("good/a.txt", "good"),
    ]


def test_text_without_a_tokenizer_or_with_a_broken_one_is_refused(tmp_path, code, text_contract):
    path = tmp_path / "texts.txt"
    path.write_text("one\n")
    with pytest.raises(InvalidDataset, match="nothing says how it becomes the inputs"):
        open_samples(path, text_contract)
    with pytest.raises(InvalidDataset, match=r"line 1 raised AttributeError"):
        list(open_samples(path, text_contract, f"{code}:broken"))
    with pytest.raises(InvalidDataset, match="no function 'absent'"):
        open_samples(path, text_contract, f"{code}:absent")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDataset, match="cannot be read"):
        open_samples(path, text_contract, f"{code}:tokenize")


def test_a_huge_text_is_refused_before_it_is_read(tmp_path, code, text_contract):
    path = tmp_path / "texts.txt"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InvalidDataset, match="at most 67108864 are read"):
        open_samples(path, text_contract, f"{code}:tokenize")


def test_an_iterable_gives_samples_and_labels(tmp_path, code, text_contract, output):
    stored = ingest(Path(f"{code}:samples"), text_contract, output)
    assert (stored.index.kind, len(stored)) == ("iterable", 32)
    assert stored.labels.tolist() == [place % 3 for place in range(32)]
    ids = [sample["ids"][0, 0] for sample in stored]
    assert ids == list(range(32))  # though the generator writes into one buffer


def test_a_list_is_an_iterable_and_a_batch_axis_of_1_is_accepted(of):
    (sample,) = of("few")
    assert sample.arrays["mask"].shape == (1, 6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("failing", r"raised KeyError"),
        ("others", "one ndarray, but the model has 2 inputs"),
        ("wide", r"int64\[7\], but the input is int64\[1, 6\]"),
        ("floats", r"float64\[6\], but the input is int64"),
        ("lacking", "lacks the input 'mask'"),
        ("more", "holds 'mask_', which is no input"),
        ("ragged", "no array"),
        ("number", "is a int, and gives no samples"),
        ("absent", "no function 'absent'"),
    ],
)
def test_an_iterable_at_fault_is_refused(of, name, message):
    with pytest.raises(InvalidDataset, match=message):
        of(name)


def test_an_iterable_that_does_not_end_is_stopped(of, monkeypatch):
    monkeypatch.setattr("mobilesdk.data.given._MOST_SAMPLES", 50)
    with pytest.raises(InvalidDataset, match="gives more than 50 samples"):
        of("endless")


def test_the_key_of_an_iterable_follows_its_source(code):
    path = Path(f"{code}:samples")
    before = set_digest(path)
    assert is_set(path)
    code.write_text(CODE + "# changed\n")
    assert set_digest(path) != before
    assert set_digest(Path(f"{code}x:samples")) is None
