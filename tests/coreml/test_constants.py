"""Constants that are made of constants: each is decoded once, however often it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mobilesdk.coreml.constants import MAX_CHAIN, Constants
from mobilesdk.coreml.package import Package
from mobilesdk.errors import FileRejected
from tests.coreml.building import Builder


def nested(root: Path, depth: int) -> Constants:
    """Make a chain in which every constant takes the one before it twice."""
    builder = Builder()
    builder.constant("c1", np.ones(4), "float16")
    for level in range(2, depth + 1):
        before = f"c{level - 1}"
        inputs: dict[str, bytes | str] = {"data": before, "scale": before}
        builder.add("constexpr_blockwise_shift_scale", inputs, [(f"c{level}", "float16", (4,))])
    package = Package(builder.package(root / "m.mlpackage"))
    return Constants(package, package.model.program.functions["main"])


def test_a_constant_that_is_taken_often_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = nested(tmp_path, MAX_CHAIN)
    values, seen = constants.value, []
    monkeypatch.setattr(constants, "value", lambda value: seen.append(value) or values(value))
    assert_array_equal(constants.decode(f"c{MAX_CHAIN}"), np.ones(4))
    assert len(seen) == 1  # not 2^7


def test_a_chain_has_each_operation_once(tmp_path: Path) -> None:
    constants = nested(tmp_path, 4)
    assert [item.name for item in constants.chain("c4")] == ["c4", "c3", "c2", "c1"]
    assert constants.stored_bytes("c4") == 8


def test_chains_have_an_end(tmp_path: Path) -> None:
    with pytest.raises(FileRejected, match=f"nests more than {MAX_CHAIN} deep"):
        nested(tmp_path, MAX_CHAIN + 1)


def test_both_results_of_an_operation_come_from_one_decoding(tmp_path: Path) -> None:
    builder = Builder()
    codes: dict[str, bytes | str] = {
        "indices_mask": builder.stored(np.array([[1, 0], [1, 1]]), "uint1"),
        "indices_nonzero_data": builder.stored(np.array([0, 1, 0]), "uint1"),
        "lut": builder.stored(np.array([[[[2], [3]]]]), "float16"),
    }
    results: list[tuple[str, str, tuple[int, ...]]] = [
        ("mask", "uint1", (2, 2)),
        ("data", "float16", (3,)),
    ]
    builder.add("constexpr_lut_to_sparse", codes, results)
    both: dict[str, bytes | str] = {"mask": "mask", "nonzero_data": "data"}
    builder.add("constexpr_sparse_to_dense", both, [("w", "float16", (2, 2))])
    package = Package(builder.package(tmp_path / "m.mlpackage"))
    constants = Constants(package, package.model.program.functions["main"])
    assert_array_equal(constants.decode("w"), [[2, 0], [3, 2]])
    names = [item.type for item in constants.chain("w")]
    assert names == ["constexpr_sparse_to_dense", "constexpr_lut_to_sparse"]
