"""``mobilesdk verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilesdk.cli.options import (
    json_option,
    plugin_option,
    release_code,
    release_option,
    tokenizer_option,
    trust_option,
    weights_option,
)

_PATH = click.Path(path_type=Path)


@click.command("verify")
@click.argument("path", type=_PATH)
@click.option("--model", help="The float model, for an artifact that is in no bundle.")
@click.option("--evaluation", type=_PATH, help="The set to measure its parity on.")
@click.option("--contract", type=_PATH, help="JSON file with the model's contract.")
@weights_option
@trust_option
@tokenizer_option
@release_option
@plugin_option
@json_option
def command(*, path: Path, as_json: bool, require_releasable: bool, **options: Any) -> int:
    """Check a bundle, or an ARTIFACT against its float model.

    Of a bundle: every hash, every gate by its stored figure, every artifact from disk, the goldens
    of each that can be run here.

    Of an artifact: its structure, and its parity with the model, which has to reach a floor: an
    SQNR of 80 dB if it is float32, 40 dB if it is float16, 10 dB if it is compressed.

    With --require-releasable, an ARTIFACT has to run here, and no check of it may fail.
    """
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.progress import BuildProgress
    from mobilesdk.cli.tables import print_verification
    from mobilesdk.errors import CheckFailed

    with BuildProgress() as progress:
        report = api.verify(path, **options, listener=progress.listen)
    if as_json:
        print_json(report.model_dump(mode="json") | {"passed": report.passed})
    else:
        print_verification(report)
    code = CheckFailed.exit_code if report.passed is False else 0
    if report.releasable is not None:
        return release_code(code, releasable=report.releasable, required=require_releasable)
    if not require_releasable:
        return code
    return release_code(code, releasable=report.passed is True and report.has_run, required=True)
