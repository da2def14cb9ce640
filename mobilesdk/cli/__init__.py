"""The command line: one small file per command, each a thin layer on `mobilesdk.api`.

Nothing but click is imported until a command runs, so ``--help`` costs nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, NoReturn

import click

from mobilesdk.errors import MobileSDKError

COMMANDS = ("build", "cache", "doctor", "explain", "inspect", "plan", "targets", "verify")
_INTERRUPTED = 130


class _LazyGroup(click.Group):
    """Imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mobilesdk.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from mobilesdk.errors import UnknownName

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UnknownName("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from mobilesdk import __version__

        click.echo(f"mobilesdk {__version__}")
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, callback=_print_version, expose_value=False, is_eager=True)
def cli() -> None:
    """Build, verify and inspect compressed models for every phone tier.

    Exit codes: 0 ok; 1 a gate or check failed; 2 usage or invalid input; 3 a toolchain is missing;
    6 a step failed; 7 a bundle or file was rejected; 70 a bug.
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(args=arguments, prog_name="mobilesdk", standalone_mode=False)
    except MobileSDKError as error:
        _print_error(error, as_json="--json" in arguments)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped; everything that was running has ended.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  silences the flush at exit
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(error: MobileSDKError, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": error.to_json(), "exit_code": error.exit_code})
    click.echo(f"Error: {error}", err=True)


def print_json(value: Any) -> None:
    """Print a value on stdout as JSON for machines."""
    click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))
