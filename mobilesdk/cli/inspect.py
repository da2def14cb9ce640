"""``mobilesdk inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from mobilesdk.cli.options import json_option, plugin_option


@click.command("inspect")
@click.argument("artifact", type=click.Path(path_type=Path))
@plugin_option
@json_option
def command(*, artifact: Path, plugins: tuple[Path, ...], as_json: bool) -> int:
    """Show what is inside ARTIFACT (.mlpackage, .pte, .tflite) without running it."""
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.tables import print_artifact
    from mobilesdk.errors import CheckFailed

    info = api.inspect(artifact, plugins=plugins)
    if as_json:
        print_json(info.model_dump(mode="json"))
    else:
        print_artifact(artifact, info)
    return CheckFailed.exit_code if info.problems else 0
