"""``mobilesdk report``."""

from __future__ import annotations

from pathlib import Path

import click

from mobilesdk.cli.options import check_place, json_option

_PATH = click.Path(path_type=Path)


@click.command("report")
@click.argument("bundle", type=_PATH)
@click.option("--output", type=_PATH, required=True, metavar="FILE", help="The page to write.")
@json_option
def command(*, bundle: Path, output: Path, as_json: bool) -> int:
    """Write a page of HTML on BUNDLE: variants, parity, gates; layers if it was built with them.

    Nothing is run: the page shows what is stored in the bundle.
    """
    from mobilesdk import api
    from mobilesdk.bundle.writing import write_file
    from mobilesdk.cli import print_json

    check_place(output, "--output")
    write_file(output, api.report(bundle).encode())
    if as_json:
        print_json({"output": str(output)})
    else:
        click.echo(str(output))
    return 0
