"""The rows of ``docs/bad_input.md``: what is given, the code that it ends in, what is told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mobilesdk.errors import error_classes
from tests.docs.markdown import REPOSITORY, Page

PAGE = Page(REPOSITORY / "docs" / "bad_input.md")
WORKS = "works"


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        code: Of the error; `WORKS` for what is taken.
        told: Words of the message or of what to do.
    """

    name: str
    code: str
    told: tuple[str, ...]

    def check(self, code: str, exit_code: int, text: str) -> None:
        """Hold what happened to the row."""
        assert (code, exit_code) == (self.code, error_classes()[self.code].exit_code), text
        missing = [words for words in self.told if words not in text]
        assert not missing, f"{missing} in: {text}"


def rows() -> dict[str, Row]:
    """Read the tables of the page."""
    lines = [line for line in PAGE.text.splitlines() if line.startswith("| `")]
    found = []
    for line in lines:
        name, _given, code, told = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        words = tuple(re.findall(r"`([^`]+)`", told))
        found.append(Row(name.strip("`"), code.strip("`"), words))
    assert len({row.name for row in found}) == len(found)
    return {row.name: row for row in found}


ROWS = rows()
