"""``mobilesdk inspect``."""

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
_SAMPLE_COUNT = 8
_RUN_COUNT = 20
_FOR_LAYERS = (
    *("model", "evaluation", "contract", "weights", "trust_model", "tokenizer"),
    *("samples", "html"),
)


@click.command("inspect")
@click.argument("artifact", type=_PATH)
@click.option("--target", help="Whose artifact it is, when ARTIFACT is a bundle.")
@click.option("--layers", is_flag=True, help="Compare the output of every op with the float model.")
@click.option("--model", help="The float model, for --layers.")
@click.option("--evaluation", type=_PATH, help="The set to compare on, for --layers.")
@click.option("--contract", type=_PATH, help="JSON file with the model's contract, for --layers.")
@weights_option
@trust_option
@tokenizer_option
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Samples of the set, for --layers; {_SAMPLE_COUNT} if not given.",
)
@click.option("--html", type=_PATH, metavar="FILE", help="Write a page, for --layers.")
@click.option("--profile", is_flag=True, help="Time every op on this host (.pte, .tflite).")
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Measured runs, for --profile; {_RUN_COUNT} if not given.",
)
@plugin_option
@json_option
def command(*, layers: bool, profile: bool, as_json: bool, **options: Any) -> int:
    """Show what is inside ARTIFACT: .mlpackage, .pte, .tflite, or a bundle with --target.

    Nothing is run without --layers or --profile. --layers needs --model and --evaluation, for a
    bundle too, which holds neither.
    """
    _check(layers=layers, profile=profile, options=options)
    if layers:
        return _layers(as_json=as_json, **options)
    if profile:
        return _profile(as_json=as_json, **options)
    return _contents(as_json=as_json, **options)


def _check(*, layers: bool, profile: bool, options: dict[str, Any]) -> None:
    """Refuse options that would have no effect."""
    from mobilesdk.errors import UsageError

    if layers and profile:
        raise UsageError("--layers and --profile exclude each other.", hint="run it twice.")
    needs = dict.fromkeys(_FOR_LAYERS, "--layers")
    needs["runs"] = "--profile"
    given = {"--layers": layers, "--profile": profile}
    for name, flag in needs.items():
        if options[name] not in (None, False) and not given[flag]:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} means nothing without {flag}.", hint=f"add {flag}.")


def _layers(
    *, artifact: Path, as_json: bool, samples: int | None, html: Path | None, **options: Any
) -> int:
    from mobilesdk import api
    from mobilesdk.bundle.writing import write_file
    from mobilesdk.cli import print_json
    from mobilesdk.cli.layer_tables import print_layers
    from mobilesdk.cli.progress import BuildProgress
    from mobilesdk.report.layers import layers_page

    del options["runs"]
    check_place(html, "--html")
    with BuildProgress() as progress:
        report = api.inspect_layers(
            artifact, **options, samples=samples or _SAMPLE_COUNT, listener=progress.listen
        )
    if html is not None:
        target = options["target"]
        title = artifact.name if target is None else f"{target} of {artifact.name}"
        write_file(html, layers_page(report, title).encode())
    if as_json:
        print_json(report.model_dump(mode="json") | {"hidden_op_count": report.hidden_op_count})
    else:
        print_layers(report)
    return 0


def _profile(*, artifact: Path, as_json: bool, runs: int | None, **options: Any) -> int:
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.layer_tables import print_profile
    from mobilesdk.cli.progress import BuildProgress

    with BuildProgress() as progress:
        profile = api.inspect_profile(
            artifact,
            target=options["target"],
            runs=runs or _RUN_COUNT,
            plugins=options["plugins"],
            listener=progress.listen,
        )
    if as_json:
        print_json(profile.model_dump(mode="json") | {"total_ns": profile.total_ns})
    else:
        print_profile(profile)
    return 0


def _contents(*, artifact: Path, as_json: bool, **options: Any) -> int:
    from mobilesdk import api
    from mobilesdk.cli import print_json
    from mobilesdk.cli.artifact_tables import print_artifact
    from mobilesdk.errors import CheckFailed

    info = api.inspect(artifact, target=options["target"], plugins=options["plugins"])
    if as_json:
        print_json(info.model_dump(mode="json"))
    else:
        print_artifact(artifact, info)
    return CheckFailed.exit_code if info.problems else 0
