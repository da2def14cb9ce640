from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.coreml.canonical import canonical_model
from mobilesdk.coreml.model import read_model
from mobilesdk.coreml.wire import Message, read_varint, signed, write_bytes, write_varint
from mobilesdk.errors import FileRejected

from .building import Builder


@given(st.integers(0, 2**64 - 1))
def test_varints_round_trip(value: int) -> None:
    data = write_varint(value)
    assert read_varint(memoryview(data), 0) == (value, len(data))


@given(st.integers(-(2**63), 2**63 - 1))
def test_negative_numbers_are_twos_complement(value: int) -> None:
    message = Message(write_varint(1 << 3) + write_varint(value % 2**64))
    assert message.integer(1) == value == signed(value % 2**64)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20))
def test_packed_and_unpacked_lists_read_alike(values: list[int]) -> None:
    numbers = [write_varint(value % 2**64) for value in values]
    packed = Message(write_bytes(1, b"".join(numbers)))
    unpacked = Message(b"".join(write_varint(1 << 3) + number for number in numbers))
    assert packed.integers(1).tolist() == unpacked.integers(1).tolist() == values


def test_floats_are_read_packed_and_unpacked() -> None:
    data = np.array([1.5, -2.0], "<f4").tobytes()
    unpacked = b"".join(write_varint(1 << 3 | 5) + data[i : i + 4] for i in (0, 4))
    for encoded in (write_bytes(1, data), unpacked):
        assert Message(encoded).floats(1, np.float32).tolist() == [1.5, -2.0]
    with pytest.raises(FileRejected, match="list of floats"):
        Message(write_bytes(1, data[:-1])).floats(1, np.float32)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_rejected(data: bytes) -> None:
    try:
        message = Message(data)
    except FileRejected:
        return
    for number in message.numbers():
        for read in (message.contents, message.integer, message.texts, message.messages):
            with contextlib.suppress(FileRejected):
                read(number)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_model_or_rejected(data: bytes) -> None:
    with pytest.raises(FileRejected):
        read_model(data)


@given(st.data())
def test_a_damaged_model_is_read_or_rejected_but_never_crashes(data: st.DataObject) -> None:
    builder = Builder()
    builder.constant("w", np.ones((2, 2)), "float16")
    builder.consume("w")
    model = bytearray(builder.model())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(model) - 1))
        model[place] = data.draw(st.integers(0, 255))
    for read in (read_model, canonical_model):
        with contextlib.suppress(FileRejected):
            read(bytes(model))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "end inside a number"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "longer than 64 bits"),
        (b"\x0a\x05abc", "past the end"),
        (b"\x0b", "unknown wire type"),
        (b"\x00\x00", "no field number"),
    ],
)
def test_a_broken_field_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(FileRejected, match=reason):
        Message(data)


def test_what_readers_disagree_on_is_rejected() -> None:
    with pytest.raises(FileRejected, match="occurs 2 times"):
        Message(write_bytes(1, b"a") * 2).text(1)
    entry = write_bytes(1, write_bytes(1, b"key"))
    with pytest.raises(FileRejected, match="twice in a map"):
        Message(entry * 2).mapping(1)
    with pytest.raises(FileRejected, match="not UTF-8"):
        Message(write_bytes(1, b"\xff")).text(1)


def test_deep_nesting_is_rejected() -> None:
    data = b""
    for _ in range(200):
        data = write_bytes(1, data)

    def descend(message: Message | None) -> None:
        while message is not None:
            message = message.message(1)

    with pytest.raises(FileRejected, match="deeper than"):
        descend(Message(data))
