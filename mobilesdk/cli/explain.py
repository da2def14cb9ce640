"""``mobilesdk explain``."""

from __future__ import annotations

from pathlib import Path

import click

_PACKAGED = Path(__file__).with_name("errors.md")
_CHECKOUT = Path(__file__).parents[2] / "docs" / "errors.md"


@click.command("explain")
@click.argument("code")
def command(*, code: str) -> int:
    """Print what an error CODE means and what to do about it."""
    from mobilesdk.errors import UnknownName, error_classes

    codes = error_classes()
    if code not in codes:
        raise UnknownName("error code", code, codes)
    click.echo(section(code))
    return 0


def section(code: str) -> str:
    """Give the section of ``docs/errors.md`` under the heading of a code."""
    text = (_PACKAGED if _PACKAGED.exists() else _CHECKOUT).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"\n## {code}\n")
    body, _, _ = rest.partition("\n## ")
    return f"{code}\n\n{body.strip()}"
