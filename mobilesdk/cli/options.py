"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mobilesdk.errors import CheckFailed, UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

_EXISTING = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
plugin_option = click.option(
    "--plugin",
    "plugins",
    type=_EXISTING,
    multiple=True,
    help="A plug-in file, in a folder named after its kind (compressors, exporters, …).",
)
weights_option = click.option(
    "--weights",
    type=_EXISTING,
    metavar="FILE",
    help="State file (.safetensors, .pt) for the module that the function of MODEL gives.",
)
tokenizer_option = click.option(
    "--tokenizer",
    metavar="FUNCTION",
    help="module:function or file.py:function that makes the inputs of a text.",
)
trust_option = click.option(
    "--trust-model",
    is_flag=True,
    help="Let files of the model run code when they are loaded, as pickles do.",
)
release_option = click.option(
    "--require-releasable",
    is_flag=True,
    help="Exit with 1 unless every variant is verified, with all gates passed.",
)


def check_place(path: Path | None, option: str) -> None:
    """Look, before any work, whether a file to write has a folder to stand in.

    Raises:
        UsageError: It has none, or is a folder itself.
        WriteFailed: No file can be made there.
    """
    from mobilesdk.bundle.writing import require_writable
    from mobilesdk.pipeline.places import look_up

    if path is not None and (look_up(path).is_dir() or not path.parent.is_dir()):
        what = f"{path} is a folder" if path.is_dir() else f"There is no folder {path.parent}"
        raise UsageError(f"{what}.", hint=f"make the folder of {option}, or name another file.")
    if path is not None:
        require_writable(path)


def release_code(code: int, *, releasable: bool, required: bool) -> int:
    """Say on stderr that something is not releasable; give the exit code of the command.

    Args:
        code: For all else.
        releasable: As the manifest of a bundle says; of an artifact, whether all checks passed.
        required: Whether ``--require-releasable`` was given.
    """
    if releasable:
        return code
    click.echo("Not releasable: something failed, missed a gate or was not verified.", err=True)
    return code or (CheckFailed.exit_code if required else 0)


def model_options(command: Command) -> Command:
    """Add MODEL and what goes with it: the same for ``plan`` and ``build``."""
    decorators = [
        click.argument("model", required=False),
        click.option(
            "--target",
            "targets",
            multiple=True,
            metavar="ID|FILE|FOLDER",
            help="A target; may be repeated. Without it: every shipped target in reach.",
        ),
        click.option(
            "--calibration",
            type=_EXISTING,
            help="Folder, .npz, .npy, .txt or iterable.",
        ),
        click.option("--evaluation", type=_EXISTING, help="Another set, for parity and gates."),
        click.option("--contract", type=_EXISTING, help="JSON file with the model's contract."),
        weights_option,
        trust_option,
        tokenizer_option,
        click.option(
            "--allow-small-calibration",
            is_flag=True,
            help="Accept fewer than 32 samples, in both sets.",
        ),
        click.option(
            "--layers",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Compare the output of every op with the float model, on N evaluation samples.",
        ),
        plugin_option,
        json_option,
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def limit_options(command: Command) -> Command:
    """Add the limits of a worker."""
    decorators = [
        click.option(
            "--time-limit",
            type=click.FloatRange(min=1),
            default=3600.0,
            show_default=True,
            metavar="SECONDS",
            help="Wall time of one step.",
        ),
        click.option(
            "--memory-limit",
            type=click.FloatRange(min=0.1),
            default=16.0,
            show_default=True,
            metavar="GB",
            help="Resident memory of one step.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command
