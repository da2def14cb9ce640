"""Labels: where they come from, and what is refused."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilesdk.data.ingest import ingest
from mobilesdk.data.labels import as_array, folder_labels, open_labels
from mobilesdk.errors import InvalidDataset


def arrays(seed=0):
    return np.random.default_rng(seed).normal(size=(40, 5)).astype(np.float32)


def test_folders_are_labels_where_every_file_lies_in_one():
    names = ["cat/1.png", "dog/2.png", "cat/deep/3.png"]
    assert folder_labels(names, None) == ("cat", "dog", "cat")
    assert folder_labels(names, ("dog", "cat", "cow")) == (1, 0, 1)
    assert folder_labels(names, ("dog", "cow")) == ("cat", "dog", "cat")
    assert folder_labels([*names, "4.png"], None) == (None,) * 4


def test_labels_of_an_archive_are_stored_beside_the_inputs(tmp_path, output, array_contract):
    np.savez(tmp_path / "set.npz", x=arrays(), labels=np.arange(40))
    stored = ingest(tmp_path / "set.npz", array_contract, output)
    assert stored.labels.tolist() == list(range(40))
    assert list(next(iter(stored))) == ["x"]


def test_a_set_without_labels_has_none(tmp_path, output, array_contract):
    np.savez(tmp_path / "set.npz", x=arrays())
    assert ingest(tmp_path / "set.npz", array_contract, output).labels is None


def test_labels_of_images_are_places_in_the_contract(make_folder, output, image_contract):
    folder = make_folder()
    for place, path in enumerate(sorted(folder.iterdir())):
        (folder / "ab"[place % 2]).mkdir(exist_ok=True)
        path.rename(folder / "ab"[place % 2] / path.name)
    stored = ingest(folder, image_contract.model_copy(update={"labels": ("b", "a")}), output)
    assert stored.labels.tolist() == [1] * 16 + [0] * 16


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(39), "labels 39"),
        (np.array([None] * 40), "Python objects|object"),
        (np.array(1.0), "axis of samples"),
        (np.zeros(40, "V4"), "no array of numbers or text"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path, output, array_contract, labels, message):
    np.savez(tmp_path / "set.npz", x=arrays(), labels=labels)
    with pytest.raises(InvalidDataset, match=message):
        ingest(tmp_path / "set.npz", array_contract, output)


@pytest.mark.parametrize(
    ("texts", "values"),
    [(["1", "2"], [1, 2]), (["1", "2.5"], [1.0, 2.5]), (["1", "a,b"], ["1", "a,b"])],
)
def test_a_csv_gives_numbers_where_all_are_numbers(tmp_path, texts, values):
    path = tmp_path / "labels.csv"
    path.write_text("".join(f'x{place},"{text}"\n' for place, text in enumerate(texts)))
    assert open_labels(path).of(["x0", "x1"]).tolist() == values
    assert open_labels(path).of(["x1", "x0"]).tolist() == values[::-1]


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1).filter(lambda t: "\0" not in t), st.integers(0, 9)))
def test_a_csv_reads_back_whatever_the_names_are(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("csv") / "labels.csv"
    names = list(labels)
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(labels.items())
    except (UnicodeEncodeError, csv.Error):
        return
    found = open_labels(path).of(names)
    assert found is None if not names else found.tolist() == list(labels.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,1\na,2\n", "labels a twice"),
        ("a\n", "1 columns"),
        ("a,1,2\n", "3 columns"),
        ('a,"1\n', "cannot be read"),
        ("b,1\n", "no label for a"),
        ("a,1\nb,2\n", "labels b, which is not in the set"),
    ],
)
def test_a_csv_at_fault_is_refused(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InvalidDataset, match=message):
        open_labels(path).of(["a"])


def test_files_that_hold_no_labels_are_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("a 1")
    (tmp_path / "labels.csv").write_bytes(b"\xff,1\n")
    np.save(tmp_path / "labels.npy", np.array([{}], object), allow_pickle=True)
    for name in ("labels.txt", "labels.csv", "labels.npy", "nothing.csv"):
        with pytest.raises(InvalidDataset):
            open_labels(tmp_path / name)
    np.save(tmp_path / "labels.npy", np.arange(3))
    with pytest.raises(InvalidDataset, match="3 labels, the set 2 samples"):
        open_labels(tmp_path / "labels.npy").of(["a", "b"])


@pytest.mark.parametrize("labels", [[1, None], [[1], [1, 2]], [{}, {}]])
def test_labels_that_make_no_array_are_refused(labels):
    with pytest.raises(InvalidDataset):
        as_array(labels)
