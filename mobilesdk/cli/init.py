"""``mobilesdk init``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilesdk.cli.options import (
    check_place,
    json_option,
    plugin_option,
    tokenizer_option,
    trust_option,
    weights_option,
)

_PATH = click.Path(path_type=Path)


@click.command("init")
@click.argument("model")
@click.option("--calibration", type=_PATH, help="Folder, .npz, .npy, .txt or iterable.")
@click.option("--evaluation", type=_PATH, help="Another set, for parity and gates.")
@click.option("--contract", type=_PATH, help="JSON file with the model's contract.")
@weights_option
@trust_option
@tokenizer_option
@click.option(
    "--output", type=_PATH, default=Path("mobilesdk.toml"), show_default=True, help="The file."
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@plugin_option
@json_option
def command(*, as_json: bool, output: Path, **options: Any) -> int:
    """Write mobilesdk.toml for MODEL: its contract, the targets in reach, and what to fill in.

    With it, mobilesdk plan and mobilesdk build need no arguments but --output.
    """
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.progress import BuildProgress
    from mobilesdk.cli.tables import print_project

    check_place(output, "--output")
    with BuildProgress() as progress:
        project = api.init(output=output, **options, listener=progress.listen)
    if as_json:
        print_json(project.model_dump(mode="json"))
    else:
        print_project(project)
    return 0
