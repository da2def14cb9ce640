"""``mobilesdk build``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mobilesdk.cli.options import (
    check_place,
    limit_options,
    model_options,
    release_code,
    release_option,
)


@click.command("build")
@model_options
@limit_options
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The bundle.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@release_option
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit XML file.")
def command(
    *,
    as_json: bool,
    junit: Path | None,
    time_limit: float,
    memory_limit: float,
    require_releasable: bool,
    **options: Any,
) -> int:
    """Build a verified variant of MODEL for every target into one bundle.

    MODEL is package.module:factory, file.py:function, a .pt2 or .keras file, or the folder of a
    SavedModel; without it, mobilesdk.toml is read.
    """
    from mobilesdk import api
    from mobilesdk.bundle.writing import write_file
    from mobilesdk.cli import print_json
    from mobilesdk.cli.progress import BuildProgress
    from mobilesdk.cli.tables import print_result
    from mobilesdk.errors import MobileSDKError
    from mobilesdk.report.junit import error_xml, junit_xml

    check_place(junit, "--junit")
    try:
        with BuildProgress() as progress:
            result = api.build(
                **options,
                time_limit_s=time_limit,
                memory_limit_bytes=int(memory_limit * 1e9),
                listener=progress.listen,
            )
        progress.sum_up(result.costs)
    except MobileSDKError as error:
        if junit is not None:
            write_file(junit, error_xml(error))
        raise
    if junit is not None:
        messages = {(f.model, f.target): f.text for f in result.failures}
        write_file(junit, junit_xml(result.manifest, messages))
    code = release_code(
        result.exit_code, releasable=result.manifest.releasable, required=require_releasable
    )
    if as_json:
        print_json(result.model_dump(mode="json") | {"exit_code": code})
    else:
        print_result(result)
    return code
