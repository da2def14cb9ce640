"""The numbers and sections of MLIR bytecode; whatever lies outside is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.coreai.bytecode import read_bytecode, read_strings
from mobilesdk.coreai.reader import PADDING, Reader, write_number
from mobilesdk.errors import FileRejected


def reader(data: bytes) -> Reader:
    return Reader(memoryview(data))


@given(st.integers(0, 2**64 - 1))
def test_numbers_round_trip(value: int) -> None:
    data = write_number(value)
    read = reader(data)
    assert read.number() == value
    assert read.at_end
    assert len(data) == min(max(-(-value.bit_length() // 7), 1), 9)


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\x01", 0), (b"\xff", 127), (b"\x02\x02", 128), (b"\x00" + b"\xff" * 8, 2**64 - 1)],
)
def test_numbers_are_as_the_format_says(data: bytes, value: int) -> None:
    assert reader(data).number() == value


@given(st.integers(0, 2**64 - 1), st.data())
def test_a_number_that_is_cut_off_is_refused(value: int, data: st.DataObject) -> None:
    whole = write_number(value)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(FileRejected, match="outside"):
        reader(cut).number()


@given(st.integers(-(2**62), 2**62))
def test_signed_numbers_have_their_sign_in_the_lowest_bit(value: int) -> None:
    data = write_number(value << 1 if value >= 0 else (-value << 1) - 1)
    assert reader(data).signed() == value


def test_a_section_knows_its_place_in_the_file() -> None:
    data = bytes([0x80 | 5]) + write_number(2) + write_number(8) + bytes([PADDING] * 5) + b"ab"
    kind, content = reader(data).section()
    assert (kind, content.position, bytes(content.rest())) == (5, 8, b"ab")


@pytest.mark.parametrize("alignment", [0, 3, 1 << 20])
def test_an_alignment_that_is_none_is_refused(alignment: int) -> None:
    with pytest.raises(FileRejected, match="alignment"):
        reader(b"").align(alignment)


def test_padding_of_other_bytes_is_refused() -> None:
    read = reader(b"\x01\x00\x00\x00")
    read.byte()
    with pytest.raises(FileRejected, match="padding"):
        read.align(4)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_texts_round_trip(strings: list[str]) -> None:
    texts = [text.encode() + b"\0" for text in strings]
    sizes = b"".join(write_number(len(text)) for text in reversed(texts))
    assert read_strings(reader(write_number(len(texts)) + sizes + b"".join(texts))) == tuple(
        strings
    )


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused(data: bytes) -> None:
    header = b"ML\xefR" + write_number(6) + b"x\0"
    for hostile in (data, header + data):
        with pytest.raises(FileRejected):
            read_bytecode(memoryview(hostile))


def test_another_version_is_refused() -> None:
    with pytest.raises(FileRejected, match="version 7"):
        read_bytecode(memoryview(b"ML\xefR" + write_number(7) + b"x\0"))
