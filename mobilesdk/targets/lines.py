"""On which line each key and item of a TOML document stands, for messages.

``tomllib`` gives values without their places. This scanner gives the places without the values; it
expects a document that ``tomllib`` has accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:\s|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def locate(text: str) -> dict[KeyPath, int]:
    """Map the path of every key and array item to its line, counted from 1.

    Args:
        text: A valid TOML document.
    """
    return _Scanner(text).document()


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int:
    """Give the line of a path, or of its nearest parent that is written; 1 if there is none."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._lines: dict[KeyPath, int] = {}
        self._table_counts: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip_blank()
        while self._position < len(self._text):
            if self._take("[["):
                table = self._header(is_array=True)
            elif self._take("["):
                table = self._header(is_array=False)
            else:
                self._assignment(table)
            self._skip_blank()
        return self._lines

    def _header(self, *, is_array: bool) -> KeyPath:
        line = self._line()
        path: KeyPath = ()
        keys = list(self._keys())
        self._take("]]" if is_array else "]")
        for place, key in enumerate(keys, start=1):
            path = (*path, key)
            self._lines.setdefault(path, line)
            if is_array and place == len(keys):
                self._table_counts[path] = self._table_counts.get(path, 0) + 1
            if path in self._table_counts:
                path = (*path, self._table_counts[path] - 1)
                self._lines.setdefault(path, line)
        return path

    def _assignment(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._take("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            while not self._take("}"):
                self._assignment(path)
                self._take(",")
        elif self._match(_STRING) is None:
            self._match(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        while not self._take("]"):
            item = (*path, index)
            self._lines[item] = self._line()
            self._value(item)
            self._take(",")
            index += 1

    def _keys(self) -> Iterator[str]:
        """Read the parts of a dotted key."""
        yield self._key()
        while self._take("."):
            yield self._key()

    def _key(self) -> str:
        self._skip_blank()
        bare = self._match(_BARE_KEY)
        if bare is not None:
            return bare
        quoted = self._match(_STRING)
        if quoted is None:
            raise ValueError(f"no key at line {self._line()}: tomllib must accept the text first")
        return quoted[1:-1] if quoted[0] == "'" else _ESCAPE.sub(_unescape, quoted[1:-1])

    def _take(self, literal: str) -> bool:
        """Step over blanks and a literal, if it comes next; only over the blanks if not."""
        self._skip_blank()
        if not self._text.startswith(literal, self._position):
            return False
        self._position += len(literal)
        return True

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._position)
        if found is None:
            return None
        self._position = found.end()
        return found.group()

    def _skip_blank(self) -> None:
        self._match(_BLANK)

    def _line(self) -> int:
        self._skip_blank()
        return self._text.count("\n", 0, self._position) + 1


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code)
