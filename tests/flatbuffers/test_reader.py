"""The flatbuffer reader: what it reads, and that hostile bytes end in `FileRejected` only."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers import reader
from mobilesdk.flatbuffers.reader import Table, map_file, open_table


def sample() -> bytes:
    """A table with a scalar of each kind, a string, vectors, tables, and a union."""
    builder = flatbuffers.Builder(0)
    leaves = []
    for number in (7, 8):
        builder.StartObject(1)
        builder.PrependInt64Slot(0, number, 0)
        leaves.append(builder.EndObject())
    text = builder.CreateString("hé")
    words = [builder.CreateString(word) for word in ("one", "two")]
    builder.StartVector(4, 2, 4)
    for word in reversed(words):
        builder.PrependUOffsetTRelative(word)
    strings = builder.EndVector()
    builder.StartVector(4, 2, 4)
    for leaf in reversed(leaves):
        builder.PrependUOffsetTRelative(leaf)
    tables = builder.EndVector()
    numbers = builder.CreateNumpyVector(np.arange(5, dtype=np.int32))
    builder.StartObject(10)
    builder.PrependInt8Slot(0, -3, 0)
    builder.PrependFloat32Slot(1, 1.5, 0)
    builder.PrependBoolSlot(2, True, False)
    builder.PrependUOffsetTRelativeSlot(3, text, 0)
    builder.PrependUOffsetTRelativeSlot(4, numbers, 0)
    builder.PrependUOffsetTRelativeSlot(5, tables, 0)
    builder.PrependUOffsetTRelativeSlot(6, strings, 0)
    builder.PrependUint8Slot(7, 2, 0)
    builder.PrependUOffsetTRelativeSlot(8, leaves[0], 0)
    builder.Finish(builder.EndObject(), b"TEST")
    return bytes(builder.Output())


SAMPLE = sample()


def read_all(table: Table) -> tuple[object, ...]:
    """Follow every field of the sample."""
    nested = table.table(8)
    return (
        table.integer(0, "int8"),
        table.real(1),
        table.boolean(2),
        table.string(3),
        table.array(4, "<i4").tolist(),
        [leaf.integer(0, "int64") for leaf in table.tables(5)],
        table.strings(6),
        table.integer(7, "uint8"),
        nested.integer(0, "int64") if nested else None,
    )


def descend(table: Table) -> None:
    """Follow the first field to its end."""
    while (inner := table.table(0)) is not None:
        table = inner


def test_every_kind_of_field_is_read() -> None:
    values = read_all(open_table(SAMPLE, identifier=b"TEST"))

    assert values == (-3, 1.5, True, "hé", [0, 1, 2, 3, 4], [7, 8], ["one", "two"], 2, 7)


def test_a_field_that_is_left_out_gives_its_default() -> None:
    table = open_table(SAMPLE)

    assert not table.has(9)
    assert table.integer(9, "int32", 5) == 5
    assert table.integer(400, "int32", 6) == 6
    assert table.real(9, default=0.5) == 0.5
    assert table.boolean(9, default=True)
    assert table.string(9, "none") == "none"
    assert table.table(9) is None
    assert table.tables(9) == []
    assert table.strings(9) == []
    assert table.array(9, "<f4").size == 0
    assert table.struct(9, 4) is None


def test_a_vector_is_a_read_only_view() -> None:
    data = bytearray(SAMPLE)
    numbers = open_table(memoryview(data)).array(4, "<i4")
    place = bytes(data).index(np.arange(5, dtype="<i4").tobytes())
    data[place] = 9

    assert numbers[0] == 9
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 1


def test_a_file_is_mapped(tmp_path) -> None:
    path = tmp_path / "sample"
    path.write_bytes(SAMPLE)

    assert open_table(map_file(path)).string(3) == "hé"


def test_an_empty_file_is_rejected(tmp_path) -> None:
    path = tmp_path / "empty"
    path.touch()

    with pytest.raises(FileRejected, match="empty"):
        map_file(path)


def test_another_identifier_is_rejected() -> None:
    with pytest.raises(FileRejected, match="identifier"):
        open_table(SAMPLE, identifier=b"TFL3")


def test_a_table_inside_itself_is_rejected() -> None:
    # A vtable of one field at 4, and a table at 12 whose field points at the table itself.
    loop = struct.pack("<IHHHxxiI", 12, 6, 8, 4, 8, 0xFFFFFFFC)

    with pytest.raises(FileRejected):
        descend(open_table(loop))


def test_deep_nesting_is_rejected() -> None:
    builder = flatbuffers.Builder(0)
    inner = 0
    for _ in range(reader.MAX_DEPTH + 2):
        builder.StartObject(1)
        if inner:
            builder.PrependUOffsetTRelativeSlot(0, inner, 0)
        inner = builder.EndObject()
    builder.Finish(inner)

    with pytest.raises(FileRejected, match="deeper"):
        descend(open_table(bytes(builder.Output())))


def test_tables_that_point_at_shared_tables_are_limited(monkeypatch) -> None:
    monkeypatch.setattr(reader, "MAX_TABLES", 10)
    table = open_table(SAMPLE)

    for _ in range(4):
        table.tables(5)
    with pytest.raises(FileRejected, match="more than 10 tables"):
        table.tables(5)


def test_a_string_that_is_no_utf8_is_rejected() -> None:
    with pytest.raises(FileRejected, match="UTF-8"):
        open_table(SAMPLE.replace("é".encode(), b"\xff\xff")).string(3)


@pytest.mark.parametrize("length", range(len(SAMPLE)))
def test_a_cut_file_reads_the_same_or_is_rejected(length: int) -> None:
    whole = read_all(open_table(SAMPLE))
    try:
        assert read_all(open_table(SAMPLE[:length])) == whole
    except FileRejected:
        return


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), max_size=6))
def test_changed_bytes_raise_nothing_but_file_rejected(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for place, byte in changes:
        data[place] = byte
    try:
        read_all(open_table(bytes(data)))
    except FileRejected:
        return


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_file_rejected(data: bytes) -> None:
    try:
        read_all(open_table(data))
    except FileRejected:
        return
