from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from mobilesdk.coreml.dtypes import ElementType, element_type, packed_size, unpack
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.packing import pack

WIDTHS = st.sampled_from([1, 2, 3, 4, 6, 8])


@given(WIDTHS, st.data())
def test_packing_round_trips(bits: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40)), np.uint8)
    packed = pack(values, bits)
    element = ElementType(f"uint{bits}")
    assert packed.size == packed_size(element, values.size)
    assert_array_equal(unpack(packed.tobytes(), element, values.size), values)


def test_elements_lie_lowest_bits_first() -> None:
    assert pack(np.array([1, 2, 3]), 2).tolist() == [0b111001]
    assert pack(np.array([0b101011, 0b000001, 0b111111]), 6).tolist() == [0b01101011, 0xF0, 0x03]


def test_four_bit_integers_have_a_sign() -> None:
    assert unpack(b"\x8f\x07", ElementType.INT4, 3).tolist() == [-1, -8, 7]


def test_wrong_sizes_and_dirty_padding_are_rejected() -> None:
    with pytest.raises(FileRejected, match="take 2 bytes, not 3"):
        unpack(b"\0\0\0", ElementType.UINT4, 3)
    with pytest.raises(FileRejected, match="unused bits"):
        unpack(b"\x11\x21", ElementType.UINT4, 3)


def test_unknown_types_are_rejected() -> None:
    assert element_type(10) is ElementType.FLOAT16
    with pytest.raises(FileRejected, match="40 is not known"):
        element_type(40)
