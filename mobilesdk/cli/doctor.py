"""``mobilesdk doctor``."""

from __future__ import annotations

import click

from mobilesdk.cli.options import json_option


@click.command("doctor")
@json_option
def command(*, as_json: bool) -> int:
    """List the toolchains with their versions, known-bad combinations, and the fix for each."""
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.tables import print_diagnosis
    from mobilesdk.errors import ToolchainMissing

    diagnosis = api.doctor()
    if as_json:
        print_json(diagnosis.model_dump(mode="json") | {"healthy": diagnosis.healthy})
    else:
        print_diagnosis(diagnosis)
    return 0 if diagnosis.healthy else ToolchainMissing.exit_code
