"""The line locator, on documents that tomllib accepts."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.targets.lines import line_of, locate

DOCUMENT = """\
# a comment with [brackets] and = signs
title = "one # not a comment"   # a comment
'quoted key' = 1
"esc\\u0061ped".inner = 2

[table]  # a comment
dotted.key = [
  1,
  # between
  { deep = true, other = [ "a]", 'b}' ] },
]
text = \"\"\"
not = a key
[nor.a.table]
\"\"\"
last = '''
x = 1'''

[[items]]
name = 1

[[items]]
name = 2
  [items.sub]
  x = 1979-05-27 07:32:00
  [[items.many]]
  y = -1.5e3
  [[items.many]]
  y = { a = 1, b = { c = 2 } }
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 2),
        (("quoted key",), 3),
        (("escaped",), 4),
        (("escaped", "inner"), 4),
        (("table",), 6),
        (("table", "dotted"), 7),
        (("table", "dotted", "key"), 7),
        (("table", "dotted", "key", 0), 8),
        (("table", "dotted", "key", 1), 10),
        (("table", "dotted", "key", 1, "deep"), 10),
        (("table", "dotted", "key", 1, "other", 1), 10),
        (("table", "text"), 12),
        (("table", "last"), 16),
        (("items",), 19),
        (("items", 0, "name"), 20),
        (("items", 1, "name"), 23),
        (("items", 1, "sub"), 24),
        (("items", 1, "sub", "x"), 25),
        (("items", 1, "many", 0, "y"), 27),
        (("items", 1, "many", 1), 28),
        (("items", 1, "many", 1, "y", "b", "c"), 29),
    ],
)
def test_every_kind_of_key_is_found(path, line):
    assert locate(DOCUMENT)[path] == line


def paths_in(value: Any, at=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from paths_in(inner, (*at, key))


def test_exactly_the_keys_that_tomllib_reads_are_found():
    assert set(locate(DOCUMENT)) == set(paths_in(tomllib.loads(DOCUMENT)))


keys = st.text("ab -_\"'.=#[]é", min_size=1, max_size=4)
values = st.recursive(
    st.integers(-9, 9) | st.booleans() | st.text("ab\"\\'#]},= \n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[\n" + ",\n# ]\n".join(toml(item) for item in value) + "\n]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value).lower()


@given(st.dictionaries(keys, values, max_size=4))
def test_any_document_is_located_whole_and_in_order(document):
    text = "".join(f"\n{toml(key)} = {toml(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    lines = locate(text)
    assert set(lines) == set(paths_in(document))
    tops = [lines[key,] for key in document]
    assert tops == sorted(tops)
    for key in document:
        assert text.splitlines()[lines[key,] - 1].startswith(toml(key))


def test_a_path_that_is_not_written_is_where_its_parent_is():
    lines = locate(DOCUMENT)
    assert line_of(("items", 1, "sub", "missing"), lines) == 24
    assert line_of(("missing",), lines) == 1
    assert line_of((), lines) == 1
