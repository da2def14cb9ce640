"""The frame of a page of HTML: one file, no scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from string import Template

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; --rule: light-dark(#ddd, #444);
  --line: light-dark(#2563eb, #60a5fa); --worst: light-dark(#dc2626, #f87171); }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h3 { border-top: 2px solid var(--rule); margin-top: 2.5rem; padding-top: .5rem; }
summary { cursor: pointer; font-weight: bold; margin: 1rem 0; }
div { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--rule); padding: .2rem .5rem; text-align: left; }
td { overflow-wrap: anywhere; min-width: 7rem; }
.number { text-align: right; }
td.number { min-width: 3rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.failed td { color: var(--worst); }
svg { width: 100%; min-width: 40rem; height: auto; }
.grid { stroke: var(--rule); } .axis { fill: currentColor; font-size: 11px; opacity: .7; }
.line { fill: none; stroke: var(--line); } .point { fill: var(--line); }
.worst { fill: var(--worst); }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")
_FAILED = ' class="failed"'
_NUMBER = ' class="number"'


def page(title: str, parts: Iterable[str]) -> str:
    """Give a page.

    Args:
        title: Text; also the heading.
        parts: HTML, in order.
    """
    return _PAGE.substitute(title=escape(title), body="\n".join(parts))


def heading(level: int, text: str) -> str:
    """Give a heading of a level, 1 … 6."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str) -> str:
    """Give a paragraph of text."""
    return f"<p>{escape(text)}</p>"


def folded(summary: str, content: str) -> str:
    """Give HTML that is shown when its summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Collection[str] = (),
    failed: Collection[int] = (),
) -> str:
    """Give a table.

    Args:
        heads: Of the columns.
        rows: Texts of the cells.
        numbers: Heads of the columns of numbers.
        failed: Places of rows that stand out.
    """
    kinds = [_NUMBER if head in numbers else "" for head in heads]
    head = "".join(
        f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, heads, strict=True)
    )
    body = "".join(
        f"<tr{_FAILED if place in failed else ''}>"
        + "".join(f"<td{kind}>{escape(text)}</td>" for kind, text in zip(kinds, row, strict=True))
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
