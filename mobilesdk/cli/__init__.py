"""The command line: one small file per command, each a thin layer on `mobilesdk.api`.

Nothing but click is imported until a command runs, so ``--help`` costs nothing.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from types import FrameType
from typing import Any, NoReturn

import click

from mobilesdk.errors import MobileSDKError, UnknownName, UsageError

COMMANDS = (
    *("build", "cache", "doctor", "explain", "init"),
    *("inspect", "plan", "report", "targets", "verify"),
)
_INTERRUPTED = 128 + signal.SIGINT
_TERMINATED = 128 + signal.SIGTERM
_BUG = "this is a bug in mobilesdk: please report it with what stands above."


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
    as_json = "--json" in arguments
    _handle_signals()
    _print_anything()
    try:
        code = cli.main(args=arguments, prog_name="mobilesdk", standalone_mode=False)
    except MobileSDKError as error:
        click.echo(f"Error: {error}", err=True)
        _leave(error, as_json=as_json)
    except click.ClickException as error:
        error.show()
        _leave(UsageError(error.format_message()), as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped; everything that was running has ended.", err=True)
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001  the border of the program: shown whole, exit code 70
        traceback.print_exc()
        _leave(MobileSDKError(f"{type(error).__name__}: {error}", hint=_BUG), as_json=as_json)
    sys.exit(code if isinstance(code, int) else 0)


def _print_anything() -> None:
    """Write what the locale has no letters for as escapes, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _handle_signals() -> None:
    """Answer SIGTERM and, unless the caller has it ignored, SIGINT."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise, so that workers and temporary files go; a second signal waits for nothing more."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _end_at_once)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(_TERMINATED)


def _end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    """End without cleaning up; the workers end with this process, as its children do."""
    os.write(sys.stderr.fileno(), b"Ended at once; temporary files may be left.\n")
    os._exit(128 + number)


def _leave(error: MobileSDKError, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json(_as_json(error))
    sys.exit(error.exit_code)


def _as_json(error: MobileSDKError) -> dict[str, Any]:
    """Give an error for machines, with the parts that some have besides."""
    value: dict[str, Any] = {"error": error.to_json(), "exit_code": error.exit_code}
    if error.failures:
        value["failures"] = [asdict(failure) for failure in error.failures]
    if error.faults:
        value["problems"] = [asdict(problem) for problem in error.problems]
    return value


def print_json(value: Any) -> None:
    """Print a value on stdout as JSON for machines."""
    click.echo(json.dumps(value, indent=2, sort_keys=True))  # ASCII: any locale can print it
