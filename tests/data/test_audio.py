"""Recordings: decoded as they are, and refused where they are not what the contract says."""

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilesdk.core.contract import AudioInput, Contract, InputSpec
from mobilesdk.data.audio import open_audio
from mobilesdk.data.ingest import ingest
from mobilesdk.data.source import open_samples
from mobilesdk.errors import InvalidDataset
from tests.data.conftest import OUTPUTS

RATE_HZ = 8000
LENGTH = 50


def contract(shape=(1, LENGTH), dtype="float32", **audio):
    audio = AudioInput(**({"sample_rate_hz": RATE_HZ} | audio))
    return Contract(
        inputs=(InputSpec(name="sound", shape=shape, dtype=dtype, preparation=audio),),
        outputs=OUTPUTS,
    )


def wav(frames, width=2, channels=1, rate=RATE_HZ):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(frames)
    return file.getvalue()


def sound(seed=0, count=LENGTH):
    return np.random.default_rng(seed).integers(-32768, 32767, count).astype("<i2")


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "sounds"
    place.mkdir()
    (place / "a.wav").write_bytes(wav(sound().tobytes()))
    return place


def only(folder, of=None):
    (sample,) = open_samples(folder, of or contract())
    return sample.arrays["sound"]


def test_16_bits_become_the_numbers_that_they_stand_for(folder):
    assert (only(folder)[0] * 32768 == sound()).all()
    assert only(folder).dtype == np.float32
    assert only(folder, contract(dtype="float16")).dtype == np.float16


@pytest.mark.parametrize(
    ("width", "data", "values"),
    [
        (1, bytes([0, 128, 192]), [-1.0, 0.0, 0.5]),
        (2, struct.pack("<3h", -32768, 0, 16384), [-1.0, 0.0, 0.5]),
        (3, b"\x00\x00\x80" + b"\x00\x00\x00" + b"\x00\x00\x40", [-1.0, 0.0, 0.5]),
        (4, struct.pack("<3i", -(2**31), 0, 2**30), [-1.0, 0.0, 0.5]),
    ],
)
def test_every_width_of_pcm_is_read(folder, width, data, values):
    (folder / "a.wav").write_bytes(wav(data, width=width))
    assert only(folder, contract((1, 3))).tolist() == [values]


def test_channels_lie_one_after_the_other(folder):
    (folder / "a.wav").write_bytes(wav(struct.pack("<4h", 1, 2, 3, 4), channels=2))
    stereo = only(folder, contract((1, 2, 2), channels=2))
    assert (stereo * 32768).tolist() == [[[1, 3], [2, 4]]]


@pytest.mark.parametrize(
    ("length", "count", "accepted"),
    [
        ("exact", LENGTH, True),
        ("exact", LENGTH + 1, False),
        ("crop", LENGTH + 1, True),
        ("crop", LENGTH - 1, False),
        ("crop_or_pad", LENGTH - 1, True),
        ("crop_or_pad", LENGTH + 1, True),
        ("crop_or_pad", 0, False),
    ],
)
def test_the_contract_says_what_becomes_of_another_length(folder, length, count, accepted):
    (folder / "a.wav").write_bytes(wav(sound(count=count).tobytes()))
    if not accepted:
        with pytest.raises(InvalidDataset, match=f"{count} samples, the model takes 50"):
            only(folder, contract(length=length))
        return
    expected = np.pad(sound(count=count)[:LENGTH], (0, max(0, LENGTH - count)))
    assert (only(folder, contract(length=length))[0] * 32768 == expected).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 16000}, "16000 samples a second, the model takes 8000"),
        ({"channels": 2}, r"2 channel\(s\), the model takes 1"),
    ],
)
def test_another_rate_or_number_of_channels_is_refused(folder, options, message):
    (folder / "b.wav").write_bytes(wav(sound(1, 2 * LENGTH).tobytes(), **options))
    with pytest.raises(InvalidDataset, match=rf"b\.wav has {message}"):
        list(open_audio(folder, contract()))


def test_a_header_that_claims_more_than_the_file_is_refused(folder):
    content = bytearray(wav(sound().tobytes()))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0x7FFFFFFE)
    (folder / "a.wav").write_bytes(content)
    with pytest.raises(InvalidDataset, match=r"a\.wav"):
        only(folder)


@settings(deadline=None)
@given(place=st.integers(0, 43), value=st.integers(0, 255), end=st.integers(0, 144))
def test_any_damaged_header_is_read_or_refused(tmp_path_factory, place, value, end):
    content = bytearray(wav(sound().tobytes()))
    content[place] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "a.wav").write_bytes(content[: max(end, place)])
    try:
        found = only(folder)
    except InvalidDataset:
        return
    assert found.shape == (1, LENGTH)
    assert np.abs(found).max() <= 1.0


def test_recordings_in_folders_are_labelled_and_stored(tmp_path, output):
    for place in range(32):
        path = tmp_path / "set" / ("cat" if place % 2 else "dog") / f"{place}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(sound(place).tobytes()))
    stored = ingest(tmp_path / "set", contract(), output)
    assert (stored.index.kind, len(stored)) == ("audio", 32)
    assert stored.labels.tolist() == ["cat"] * 16 + ["dog"] * 16


def test_what_is_no_recording_is_refused(folder, array_contract):
    with pytest.raises(InvalidDataset, match=r"(?s)does not say.*AudioInput\(sample_rate_hz"):
        open_samples(folder, array_contract)
    (folder / "b.mp3").write_bytes(b"ID3")
    with pytest.raises(InvalidDataset, match=r"b\.mp3 is no \.wav"):
        open_samples(folder, contract())


def test_integers_in_an_array_are_no_sound(tmp_path, output):
    np.save(tmp_path / "x.npy", np.stack([sound(seed) for seed in range(32)]).astype(np.float32))
    with pytest.raises(InvalidDataset, match="sound is -1 … 1"):
        ingest(tmp_path / "x.npy", contract(), output)
