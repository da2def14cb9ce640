"""``mobilesdk plan``."""

from __future__ import annotations

from typing import Any

import click

from mobilesdk.cli.options import model_options


@click.command("plan")
@model_options
def command(*, as_json: bool, **options: Any) -> int:
    """Print what a build would do: steps, what is shared, what is cached, and every problem."""
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.progress import BuildProgress
    from mobilesdk.cli.tables import print_plan
    from mobilesdk.errors import PlanRefused, ToolchainMissing

    with BuildProgress() as progress:
        plan = api.plan(**options, listener=progress.listen)
    if as_json:
        print_json(plan.model_dump(mode="json"))
    else:
        print_plan(plan)
    if plan.problems:
        return PlanRefused.exit_code
    return ToolchainMissing.exit_code if plan.missing_tools else 0
