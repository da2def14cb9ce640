"""``docs/errors.md`` and the error classes say the same."""

from __future__ import annotations

import re

import pytest

from mobilesdk import errors
from mobilesdk.cli.explain import section
from mobilesdk.errors import MobileSDKError, error_classes

from .markdown import REPOSITORY, Page

PAGE = Page(REPOSITORY / "docs" / "errors.md")
PARTS = ("What happened.", "Why it matters.", "What to do now.", "Example.")


CODES = [code for code, error in error_classes().items() if error.__module__ == errors.__name__]


def in_tree_order(error: type[MobileSDKError]) -> list[str]:
    """Give the codes of a class and of those below it, in the order of their definition."""
    own = [sub for sub in error.__subclasses__() if sub.__module__ == errors.__name__]
    return [error.code, *(code for sub in own for code in in_tree_order(sub))]


def test_headings_are_the_codes_in_the_order_of_the_tree() -> None:
    assert PAGE.headings(level=2) == in_tree_order(MobileSDKError)


def test_the_tree_holds_every_class() -> None:
    assert sorted(in_tree_order(MobileSDKError)) == CODES


@pytest.mark.parametrize("code", CODES)
def test_each_section_has_its_parts_in_order(code: str) -> None:
    parts = re.findall(r"^\*\*(.+?)\*\*", section(code), re.MULTILINE)
    assert tuple(parts) == PARTS


@pytest.mark.parametrize("code", CODES)
def test_the_example_ends_as_the_message_does(code: str) -> None:
    blocks = [block.text for block in Page(PAGE.path, section(code)).code() if not block.inline]
    assert len(blocks) == 1
    assert blocks[0].endswith(f"\nMore: mobilesdk explain {code}\n")


def test_exit_codes_of_the_table_are_those_of_the_classes() -> None:
    rows = {int(row) for row in re.findall(r"^\| (\d+) \|", PAGE.text, re.MULTILINE)}
    classes = {error_classes()[code].exit_code for code in CODES}
    assert rows == classes | {0, 130, 143}
