"""``mobilesdk explain``."""

from __future__ import annotations

from pathlib import Path

import click

from mobilesdk.cli.options import json_option

_PACKAGED = Path(__file__).with_name("errors.md")
_CHECKOUT = Path(__file__).parents[2] / "docs" / "errors.md"


@click.command("explain")
@click.argument("code")
@json_option
def command(*, code: str, as_json: bool) -> int:
    """Print what an error CODE means and what to do about it."""
    from mobilesdk.cli import print_json
    from mobilesdk.errors import UnknownName, error_classes

    codes = error_classes()
    if code not in codes:
        raise UnknownName("error code", code, codes)
    text = section(code)
    if as_json:
        print_json({"code": code, "exit_code": codes[code].exit_code, "text": text})
    else:
        click.echo(f"{code}\n\n{text}")
    return 0


def section(code: str) -> str:
    """Give what ``docs/errors.md`` says under the heading of a code."""
    text = (_PACKAGED if _PACKAGED.exists() else _CHECKOUT).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"\n## {code}\n")
    body, _, _ = rest.partition("\n## ")
    return body.strip()
