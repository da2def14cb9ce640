import os

import numpy as np
import pytest
from PIL import Image

from mobilesdk.core.contract import Contract, ImageInput, InputSpec
from mobilesdk.data.source import open_samples
from mobilesdk.errors import InvalidDataset
from tests.data.conftest import smooth_image


def with_preparation(contract, shape, **fields):
    spec = InputSpec(name="x", shape=shape, dtype="float32", preparation=ImageInput(**fields))
    return contract.model_copy(update={"inputs": (spec,)})


def only_sample(folder, contract):
    (sample,) = list(open_samples(folder, contract))
    return sample


def test_pixels_become_values_by_the_contract(tmp_path, image_contract):
    Image.new("RGB", (32, 24), (255, 127, 0)).save(tmp_path / "a.png")
    contract = with_preparation(
        image_contract, (1, 3, 24, 32), size=(24, 32), mean=(127, 126, 1), std=(128, 2, 4)
    )
    array = only_sample(tmp_path, contract).arrays["x"]
    assert array.shape == (1, 3, 24, 32)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[0, :, 5, 7], [1.0, 0.5, -0.25])


def test_channels_last(tmp_path, image_contract):
    smooth_image(0).save(tmp_path / "a.png")
    first = only_sample(tmp_path, image_contract).arrays["x"]
    contract = with_preparation(
        image_contract, (1, 24, 32, 3), size=(24, 32), mean=127, std=128, layout="NHWC"
    )
    last = only_sample(tmp_path, contract).arrays["x"]
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), last)


def test_crop_keeps_the_centre_and_stretch_keeps_all(tmp_path, image_contract):
    image = Image.new("RGB", (96, 24), (255, 0, 0))
    image.paste((0, 0, 255), (32, 0, 64, 24))  # blue in the middle third
    image.save(tmp_path / "a.png")
    fields = {"size": (24, 32), "std": 255.0}
    cropped = only_sample(tmp_path, with_preparation(image_contract, (1, 3, 24, 32), **fields))
    stretched = only_sample(
        tmp_path, with_preparation(image_contract, (1, 3, 24, 32), resize="stretch", **fields)
    )
    assert cropped.arrays["x"][0, 2].min() == 1.0  # all blue
    np.testing.assert_array_equal(stretched.arrays["x"][0, :, 3, [1, 16, 30]],
                                  [[1, 0, 0], [0, 0, 1], [1, 0, 0]])  # fmt: skip


def test_exif_orientation_is_applied(tmp_path, image_contract):
    upright = smooth_image(0, 32, 24)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to show
    (tmp_path / "turned").mkdir()
    (tmp_path / "upright").mkdir()
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned/a.png", exif=exif)
    upright.save(tmp_path / "upright/a.png")
    turned = only_sample(tmp_path / "turned", image_contract)
    assert turned.digest() == only_sample(tmp_path / "upright", image_contract).digest()


def test_order_is_by_path_and_hidden_files_are_passed_over(make_folder, image_contract):
    folder = make_folder(count=3)
    (folder / "b").mkdir()
    smooth_image(9).save(folder / "b/000.jpg")
    (folder / ".DS_Store").write_bytes(b"x")
    names = [sample.name for sample in open_samples(folder, image_contract)]
    assert names == ["000.png", "001.png", "002.png", "b/000.jpg"]


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_other_pixel_modes_become_rgb(tmp_path, image_contract, mode):
    smooth_image(0).convert(mode).save(tmp_path / "a.tif")
    assert only_sample(tmp_path, image_contract).arrays["x"].shape == (1, 3, 24, 32)


def sixteen_bit(path):
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(path)


def transparent(path):
    image = smooth_image(0).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 100))
    image.save(path)


def animated(path):
    smooth_image(0).save(path, save_all=True, append_images=[smooth_image(1)])


def truncated(path):
    smooth_image(0).save(path)
    path.write_bytes(path.read_bytes()[:-200])


def text(path):
    path.write_text("not an image")


def bomb(path):
    Image.new("1", (20_000, 20_000)).save(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (sixteen_bit, "mode I;16"),
        (transparent, "transparent"),
        (animated, "several frames"),
        (truncated, "cannot be read"),
        (text, "not an image"),
        (bomb, "more pixels"),
    ],
)
def test_an_unusable_file_is_named_with_the_reason(tmp_path, image_contract, make, reason):
    make(tmp_path / "bad.png")
    with pytest.raises(InvalidDataset, match=rf"bad\.png.*{reason}") as caught:
        list(open_samples(tmp_path, image_contract))
    assert caught.value.hint


def test_a_folder_of_links_holds_what_they_lead_to(make_folder, image_contract, tmp_path):
    folder = make_folder(count=3)
    links = tmp_path / "links"
    links.mkdir()
    (links / "first.png").symlink_to(folder / "000.png")
    (links / "again").symlink_to(folder)
    samples = list(open_samples(links, image_contract))
    assert [each.name for each in samples] == [
        *("again/000.png", "again/001.png", "again/002.png", "first.png")
    ]
    assert samples[0].digest() == samples[3].digest()


@pytest.mark.parametrize(
    ("leads_to", "reason"),
    [
        ("nowhere.png", "leads nowhere"),
        ("link", "leads nowhere"),
        (".", "a folder that it lies in"),
        ("..", "a folder that it lies in"),
    ],
)
def test_a_link_that_leads_nowhere_or_in_a_circle_is_refused(
    make_folder, image_contract, leads_to, reason
):
    folder = make_folder(count=1)
    (folder / "inner").mkdir()
    (folder / "inner" / "link").symlink_to(leads_to)
    with pytest.raises(InvalidDataset, match=f"link is a link .*{reason}"):
        open_samples(folder, image_contract)


def test_a_fifo_does_not_hang(tmp_path, image_contract):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidDataset, match=r"pipe\.png.*not a regular file"):
        list(open_samples(tmp_path, image_contract))


@pytest.mark.parametrize(
    ("shape", "layout"), [((1, 3, 24, 32), ""), ((1, 24, 32, 3), ', layout="NHWC"')]
)
def test_images_without_a_preparation_show_the_lines_to_add(
    make_folder, image_contract, shape, layout
):
    spec = InputSpec(name="picture", shape=shape, dtype="float32")
    contract = Contract(inputs=(spec,), outputs=image_contract.outputs)
    with pytest.raises(InvalidDataset) as caught:
        open_samples(make_folder(count=1), contract)
    image = f"ImageInput(size=(24, 32), mean=127.5, std=127.5{layout})"
    assert f'inputs={{\n        "picture": {image}}})\n' in caught.value.hint


def test_images_for_a_model_with_two_inputs_are_refused(make_folder, text_contract):
    with pytest.raises(InvalidDataset, match=r"2 inputs \(ids, mask\)") as caught:
        open_samples(make_folder(count=1), text_contract)
    assert ".npz" in caught.value.hint
