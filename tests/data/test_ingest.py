import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mobilesdk.core.contract import ImageInput, InputSpec
from mobilesdk.data.checks import check_disjoint
from mobilesdk.data.ingest import ingest
from mobilesdk.data.source import open_samples
from mobilesdk.data.stored import StoredSamples
from mobilesdk.errors import FileRejected, InvalidDataset


def numbers(count=40, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)


@pytest.fixture
def store(tmp_path, array_contract):
    """Store an array as a set."""
    made = []

    def store(values, **options):
        folder = tmp_path / f"set{len(made)}"
        made.append(folder)
        folder.mkdir()
        np.save(folder.with_suffix(".npy"), values)
        return ingest(folder.with_suffix(".npy"), array_contract, folder, **options)

    return store


def test_what_is_stored_is_what_the_source_gives(make_folder, image_contract, output):
    folder = make_folder(count=32)
    reports = []
    stored = ingest(folder, image_contract, output, report=lambda *seen: reports.append(seen))
    assert len(stored) == 32
    for kept, sample in zip(stored, open_samples(folder, image_contract), strict=True):
        np.testing.assert_array_equal(kept["x"], sample.arrays["x"])
        assert kept["x"].shape == (1, 3, 24, 32)
    assert reports[-1] == ("32 of 32 samples", 1.0)
    index = json.loads((output / "samples.json").read_text())
    assert (index["schema_version"], index["kind"], index["count"]) == (1, "images", 32)
    assert index["samples"][3]["name"] == "003.png"


def test_the_digest_depends_on_values_and_order_and_on_nothing_else(store):
    values = numbers()
    assert store(values).digest == store(values.copy()).digest
    assert store(values[::-1]).digest != store(values).digest
    changed = values.copy()
    changed[7, 3] += np.float32(1e-6)
    assert store(changed).digest != store(values).digest


def test_samples_can_be_read_again_and_not_written(store):
    stored = store(numbers())
    first = [sample["x"].copy() for sample in stored]
    np.testing.assert_array_equal(first, [sample["x"] for sample in stored])
    with pytest.raises(ValueError, match="read-only"):
        next(iter(stored))["x"][0, 0] = 1


def test_few_samples_need_a_permission(store):
    with pytest.raises(InvalidDataset, match=r"only 31 sample\(s\)") as caught:
        store(numbers(31))
    assert "--allow-small-calibration" in caught.value.hint
    assert len(store(numbers(31), allow_small=True)) == 31
    assert len(store(numbers(32))) == 32


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(store, value):
    values = numbers()
    values[12, 2] = value
    with pytest.raises(InvalidDataset, match="sample 12 holds infinite values or NaN"):
        store(values)


def test_a_constant_sample_is_refused(store):
    values = numbers()
    values[5] = 3.0
    with pytest.raises(InvalidDataset, match="sample 5 is constant"):
        store(values)


def test_a_constant_image_is_refused(make_folder, image_contract, output):
    folder = make_folder()
    Image.new("RGB", (40, 40), (9, 9, 9)).save(folder / "grey.png")
    with pytest.raises(InvalidDataset, match=r"grey\.png is constant"):
        ingest(folder, image_contract, output)


def test_one_constant_input_beside_others_is_fine(tmp_path, text_contract, output):
    ids = np.random.default_rng(0).integers(0, 100, (40, 6))
    np.savez(tmp_path / "x.npz", ids=ids, mask=np.ones((40, 6), np.float32))
    assert len(ingest(tmp_path / "x.npz", text_contract, output)) == 40


@pytest.mark.parametrize("bad", [-1, 100])
def test_ids_outside_of_the_vocabulary_are_refused(tmp_path, text_contract, output, bad):
    ids = np.random.default_rng(0).integers(0, 100, (40, 6))
    ids[8, 2] = bad
    np.savez(tmp_path / "x.npz", ids=ids, mask=np.ones((40, 6), np.float32))
    with pytest.raises(InvalidDataset, match=r"sample 8 holds ids .* outside of 0 … 99"):
        ingest(tmp_path / "x.npz", text_contract, output)


def test_a_tenth_may_repeat_but_no_more(store):
    values = numbers(40)
    values[36:] = values[:4]
    assert len(store(values)) == 40
    values[35] = values[4]
    with pytest.raises(
        InvalidDataset, match=r"5 of 40 samples .* sample 35 is the same as sample 4"
    ):
        store(values)


def test_sets_that_share_a_sample_are_refused(store):
    calibration = store(numbers(seed=0))
    check_disjoint(store(numbers(seed=1)).index.samples, calibration.index.samples)
    evaluation = numbers(seed=1)
    evaluation[3] = numbers(seed=0)[17]
    with pytest.raises(InvalidDataset, match=r"1 sample\(s\).* sample 3 is the same as sample 17"):
        check_disjoint(store(evaluation).index.samples, calibration.index.samples)


def test_the_same_pixels_in_another_file_are_found(make_folder, image_contract, tmp_path):
    calibration, evaluation = make_folder("c"), make_folder("e", first_seed=100)
    with Image.open(calibration / "004.png") as image:
        image.save(evaluation / "copy.bmp")
    (tmp_path / "co").mkdir()
    (tmp_path / "eo").mkdir()
    stored = ingest(calibration, image_contract, tmp_path / "co")
    against = ingest(evaluation, image_contract, tmp_path / "eo")
    with pytest.raises(InvalidDataset, match=r"copy\.bmp is the same as 004\.png"):
        check_disjoint(against.index.samples, stored.index.samples)


def test_noise_is_refused_as_a_file_and_as_an_array(make_folder, image_contract, tmp_path, output):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    folder = make_folder()
    Image.fromarray(noise).save(folder / "static.png")
    with pytest.raises(InvalidDataset, match=r"static\.png is pure noise"):
        ingest(folder, image_contract, output)

    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (32, 3, 24, 32))
    np.save(tmp_path / "x.npy", noise.astype("f4"))
    with pytest.raises(InvalidDataset, match="sample 0 is pure noise"):
        ingest(tmp_path / "x.npy", image_contract, output)


def with_image(contract, layout="NCHW", dtype="float32", **fields):
    image = ImageInput(size=(24, 32), layout=layout, **fields)
    shape = (1, 3, 24, 32) if layout == "NCHW" else (1, 24, 32, 3)
    spec = InputSpec(name="x", shape=shape, dtype=dtype, preparation=image)
    return contract.model_copy(update={"inputs": (spec,)})


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("mean", "std", "dtype"),
    [
        (127.5, 127.5, "float32"),
        (0, 255, "float32"),
        ((123.7, 116.3, 103.5), (58.4, 57.1, -57.4), "float16"),
    ],
)
def test_arrays_of_pixels_have_to_be_prepared(
    make_folder, image_contract, tmp_path, layout, mean, std, dtype
):
    contract = with_image(image_contract, layout, dtype, mean=mean, std=std)
    prepared = np.concatenate([s.arrays["x"] for s in open_samples(make_folder(), contract)])

    def give(name, values):
        np.save(tmp_path / f"{name}.npy", values.astype(dtype))
        (tmp_path / name).mkdir()
        return ingest(tmp_path / f"{name}.npy", contract, tmp_path / name)

    assert len(give("prepared", prepared)) == 32
    raw = contract.model_copy(update={"inputs": with_image(image_contract, layout).inputs})
    pixels = np.concatenate([s.arrays["x"] for s in open_samples(tmp_path / "images", raw)])
    with pytest.raises(
        InvalidDataset, match=r"sample 0 holds .* but pixels of 0…255 become"
    ) as seen:
        give("pixels", pixels)
    assert f"with mean {contract.inputs[0].preparation.mean} and std" in seen.value.message
    prepared[7].reshape(-1)[5] *= 1000
    with pytest.raises(InvalidDataset, match="sample 7 holds"):
        give("one", prepared)


def test_random_numbers_are_no_noise_where_the_input_is_no_image(store):
    assert len(store(numbers())) == 40


def test_a_file_that_is_no_image_is_told_before_the_number_of_samples(
    tmp_path, image_contract, output
):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("no image")
    with pytest.raises(InvalidDataset, match=r"a\.jpg is not an image"):
        ingest(tmp_path / "photos", image_contract, output)


def test_an_empty_folder_is_refused(tmp_path, image_contract, output):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InvalidDataset, match="is empty"):
        ingest(tmp_path / "nothing", image_contract, output)


def test_float16_images(make_folder, image_contract, output):
    image = ImageInput(size=(24, 32))
    spec = InputSpec(name="x", shape=(1, 3, 24, 32), dtype="float16", preparation=image)
    stored = ingest(make_folder(), image_contract.model_copy(update={"inputs": (spec,)}), output)
    assert next(iter(stored))["x"].dtype == np.float16


def damage_index(folder):
    text = (folder / "samples.json").read_text()
    (folder / "samples.json").write_text(text.replace('"count": 40', '"count": 41'))


def damage_array(folder):
    np.save(folder / "x.npy", np.zeros((40, 1, 6), np.float32))


def remove_array(folder):
    (folder / "x.npy").unlink()


def escape(folder):
    text = (folder / "samples.json").read_text()
    (folder / "samples.json").write_text(text.replace('"name": "x"', '"name": "../x"'))


@pytest.mark.parametrize("damage", [damage_index, damage_array, remove_array, escape])
def test_a_damaged_store_is_rejected(store, tmp_path, damage):
    store(numbers())
    shutil.copytree(tmp_path / "set0", tmp_path / "copy")
    assert len(StoredSamples(tmp_path / "copy")) == 40
    damage(tmp_path / "copy")
    with pytest.raises(FileRejected):
        StoredSamples(tmp_path / "copy")
