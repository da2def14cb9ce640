import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.bundle.canonical import canonical_json, tree_hash, tree_size_bytes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_canonical_json_keeps_the_value(value):
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_change_the_bytes(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_hold_is_refused(number):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"value": number})


def test_the_hash_of_a_package_follows_names_and_bytes(tmp_path):
    def package(name, files):
        for path, content in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(content)
        return tmp_path / name

    first = package("first", {"a/x": b"1", "b": b"22"})
    same = package("same", {"b": b"22", "a/x": b"1"})
    renamed = package("renamed", {"a/y": b"1", "b": b"22"})
    changed = package("changed", {"a/x": b"2", "b": b"22"})
    assert tree_hash(first) == tree_hash(same)
    assert len({tree_hash(folder) for folder in (first, renamed, changed)}) == 3
    assert tree_size_bytes(first) == 3
