"""``mobilesdk cache``."""

from __future__ import annotations

import click

from mobilesdk.cli.options import json_option


@click.command("cache")
@click.option(
    "--prune",
    "keep_gb",
    type=click.FloatRange(min=0),
    metavar="GB",
    help="Remove the longest unused results until at most this much remains; what a running build "
    "may use stays.",
)
@json_option
def command(*, keep_gb: float | None, as_json: bool) -> int:
    """Show what the cache holds, and prune it.

    MOBILESDK_CACHE_SIZE (5GB, for example; 20 GB without it) is its limit.
    """
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.units import format_bytes

    state = api.cache(keep_bytes=None if keep_gb is None else int(keep_gb * 1e9))
    if as_json:
        print_json(state.model_dump(mode="json"))
        return 0
    if keep_gb is not None:
        click.echo(f"removed {state.removed_count} results, {format_bytes(state.removed_bytes)}")
    limit = format_bytes(state.limit_bytes)
    size = f"{format_bytes(state.size_bytes)} of at most {limit}"
    click.echo(f"{state.count} results, {size}, in {state.root}")
    return 0
