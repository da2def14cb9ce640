"""Every relative link and anchor of the documentation leads somewhere."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

from .markdown import REPOSITORY, Page, pages

PAGES = pages()
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|tmp|home|Users|mnt|private)/\w|file://")
NEEDED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md")


def faults(page: Page) -> list[str]:
    """Give the links of a page that lead nowhere."""
    found = []
    for link in page.links():
        if re.match(r"https?://|mailto:", link):
            continue
        place, _, anchor = unquote(link).partition("#")
        path = (page.path.parent / place).resolve()
        inside = not place.startswith("/") and path.is_relative_to(REPOSITORY)
        if place and not (inside and path.exists()):
            found.append(f"{link}: no such file")
        elif anchor and anchor not in (Page(path) if place else page).anchors():
            found.append(f"{link}: no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Page) -> None:
    assert faults(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(REPOSITORY)))
def test_pages_name_no_place_on_one_machine(page: Page) -> None:
    assert MACHINE_PATH.findall(page.text) == []


@pytest.mark.parametrize("name", NEEDED)
def test_pages_that_a_reader_looks_for_exist(name: str) -> None:
    assert (REPOSITORY / name).is_file()


def test_each_page_of_the_documentation_is_linked_from_an_index() -> None:
    folder = REPOSITORY / "docs"
    for index in (folder / "README.md", folder / "decisions" / "README.md"):
        linked = {(index.parent / link.partition("#")[0]).resolve() for link in Page(index).links()}
        assert set(index.parent.glob("*.md")) - {index} <= linked


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](missing.md)", "missing.md: no such file"),
        ("[a](README.md#nothing-like-that)", "README.md#nothing-like-that: no such heading"),
        ("[a](#not-here)\n\n# Here\n", "#not-here: no such heading"),
        ("[a](/etc/hosts)", "/etc/hosts: no such file"),
        ("![a](missing.png)", "missing.png: no such file"),
    ],
)
def test_a_link_to_nothing_is_found(text: str, fault: str) -> None:
    assert faults(Page(REPOSITORY / "docs" / "new.md", text)) == [fault]


def test_good_links_are_no_faults() -> None:
    text = "# A *b*, `c`: d!\n\n[x](#a-b-c-d) [y](README.md#documentation) [z](https://example.org)"
    assert faults(Page(REPOSITORY / "docs" / "new.md", text)) == []


def test_repeated_headings_get_numbered_anchors() -> None:
    page = Page(REPOSITORY / "docs" / "new.md", "# A\n\n# A\n")
    assert page.anchors() == {"a", "a-1"}
