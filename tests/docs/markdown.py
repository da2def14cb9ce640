"""Markdown files of the repository, parsed: links, anchors, headings, blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parents[2]
_SKIPPED = frozenset({"demo", "dist", "build", "node_modules"})


@dataclass(frozen=True)
class Code:
    """A fenced block or an inline span of code.

    Attributes:
        info: What stands behind the opening fence, e.g. ``python runnable``; empty for a span.
        line: Of its first line of text, from 1; of its paragraph for a span.
    """

    page: Path
    line: int
    info: str
    text: str
    inline: bool = False

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


class Page:
    """A parsed Markdown file."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self._tokens = MarkdownIt("commonmark").enable("table").parse(self.text)

    def headings(self, level: int | None = None) -> list[str]:
        """Give the texts of the headings, as they are written."""
        return [
            self._tokens[place + 1].content
            for place, token in enumerate(self._tokens)
            if token.type == "heading_open" and level in (None, int(token.tag[1:]))
        ]

    def anchors(self) -> set[str]:
        """Give the anchors that GitHub makes of the headings."""
        found: dict[str, int] = {}
        anchors = set()
        for heading in self.headings():
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            count = found.get(slug, 0)
            found[slug] = count + 1
            anchors.add(f"{slug}-{count}" if count else slug)
        return anchors

    def links(self) -> list[str]:
        """Give the destinations of links and images."""
        return [
            str(child.attrs["href" if child.type == "link_open" else "src"])
            for token in self._tokens
            for child in token.children or ()
            if child.type in ("link_open", "image")
        ]

    def code(self) -> Iterator[Code]:
        """Give all code, fenced and inline."""
        for token in self._tokens:
            if token.type == "fence":
                yield Code(self.path, _line(token) + 1, token.info.strip(), token.content)
            for child in token.children or ():
                if child.type == "code_inline":
                    yield Code(self.path, _line(token), "", child.content, inline=True)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def pages() -> list[Page]:
    """Parse every Markdown file of the repository."""
    paths = sorted(REPOSITORY.rglob("*.md"))
    return [
        Page(path)
        for path in paths
        if not any(
            part.startswith(".") or part in _SKIPPED for part in path.relative_to(REPOSITORY).parts
        )
    ]


def command_lines(code: Code, program: str) -> list[str]:
    """Give the calls of a program in a block, with continued lines joined.

    A comment, a pipe, a redirection or a second command ends a call.
    """
    text = code.text.replace("\\\n", " ")
    calls = []
    for line in text.splitlines():
        call = re.split(r"\s(?:#|\||>|&&|;)", line.strip().removeprefix("$ "))[0].strip()
        if call == program or call.startswith(f"{program} "):
            calls.append(call)
    return calls
