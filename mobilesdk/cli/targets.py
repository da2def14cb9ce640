"""``mobilesdk targets``."""

from __future__ import annotations

from pathlib import Path

import click

from mobilesdk.cli.options import json_option


@click.command("targets")
@click.option(
    "--check",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check a target or profile file (or a folder of them) instead.",
)
@json_option
def command(*, files: tuple[Path, ...], as_json: bool) -> int:
    """List the targets, or check files of your own."""
    return _check(files, as_json=as_json) if files else _list(as_json=as_json)


def _check(files: tuple[Path, ...], *, as_json: bool) -> int:
    from mobilesdk.cli import print_json
    from mobilesdk.errors import InvalidTarget
    from mobilesdk.targets import check_files

    faults = check_files(files)
    if as_json:
        print_json([fault.model_dump(mode="json") for fault in faults])
    else:
        for fault in faults:
            click.echo(str(fault))
        if not faults:
            click.echo("no faults")
    return InvalidTarget.exit_code if faults else 0


def _list(*, as_json: bool) -> int:
    from rich.table import Table

    from mobilesdk.cli import print_json
    from mobilesdk.cli.tables import console
    from mobilesdk.targets import load_target, shipped

    targets = [load_target(name) for name in shipped()]
    if as_json:
        print_json([target.model_dump(mode="json", exclude_none=True) for target in targets])
        return 0
    table = Table()
    for column in ("target", "title", "format", "from", "profile", "for transformers"):
        table.add_column(column)
    for target in targets:
        transformer = target.profile_for("transformer")
        default = target.profile_for("vision")
        table.add_row(
            target.id,
            target.title,
            target.export.format,
            f"{target.device.platform} {target.device.min_os}",
            default if isinstance(default, str) else "none",
            transformer if isinstance(transformer, str) else "none",
        )
    console().print(table)
    return 0
