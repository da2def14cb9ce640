"""Code in the documentation: Python compiles and runs, commands have the options that they use."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

from mobilesdk.cli import cli
from mobilesdk.errors import UnknownName

from .markdown import REPOSITORY, Code, Page, command_lines, pages

CODE = [code for page in pages() for code in page.code()]
PYTHON = [code for code in CODE if code.info.split()[:1] == ["python"]]
RUNNABLE = [code for code in PYTHON if code.info == "python runnable"]
COMMANDS = [(code, call) for code in CODE for call in command_lines(code, "mobilesdk")]
MAKE = [(code, call) for code in CODE for call in command_lines(code, "make")]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def place(value: object) -> str | None:
    """Name a test after the place of its code."""
    return value.place if isinstance(value, Code) else None


def parse(call: str, *, inline: bool) -> None:
    """Parse a command line as click would; nothing is run.

    Args:
        call: E.g. ``mobilesdk plan model.py:build``.
        inline: In a sentence, values may be left out or be placeholders, such as ``GB``.
    """
    arguments = shlex.split(call)[1:]
    try:
        group = click.Context(cli, info_name="mobilesdk", **cli.context_settings)
        rest = click.Command.parse_args(cli, group, arguments)
        name, command, rest = cli.resolve_command(group, rest)
        assert command is not None
        command.make_context(name, rest, parent=group)
    except click.exceptions.Exit:
        return  # --help and --version end here
    except (click.BadParameter, click.exceptions.NoArgsIsHelpError):
        if not inline:
            raise


@pytest.mark.parametrize("code", PYTHON, ids=place)
def test_python_compiles(code: Code) -> None:
    compile(code.text, code.place, "exec")


@pytest.mark.parametrize("code", RUNNABLE, ids=place)
def test_python_that_is_marked_runs(code: Code) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.text], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("code", "call"), COMMANDS, ids=place)
def test_commands_have_the_options_that_they_use(code: Code, call: str) -> None:
    parse(call, inline=code.inline)


@pytest.mark.parametrize(("code", "call"), MAKE, ids=place)
def test_make_has_the_targets_that_are_named(code: Code, call: str) -> None:
    named = [word for word in shlex.split(call)[1:] if not word.startswith("-") and "=" not in word]
    assert set(named) <= TARGETS


def test_there_is_code_to_check() -> None:
    assert PYTHON
    assert RUNNABLE
    assert COMMANDS
    assert MAKE


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("mobilesdk plan m.py:f --calibrate photos", click.NoSuchOption),
        ("mobilesdk compile m.py:f", UnknownName),
        ("mobilesdk build m.py:f", click.MissingParameter),
        ("mobilesdk build m.py:f --output b --time-limit soon", click.BadParameter),
        ("mobilesdk inspect a.pte b.pte", click.UsageError),
    ],
)
def test_a_wrong_command_line_is_refused(call: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(call, inline=False)


def test_continued_commented_and_piped_lines_are_found() -> None:
    text = "$ mobilesdk plan m.py:f \\\n    --json | jq .  # all\nls\nmobilesdk doctor\n"
    page = Page(REPOSITORY / "new.md", f"```sh\n{text}```\n")
    (code,) = page.code()
    calls = [" ".join(call.split()) for call in command_lines(code, "mobilesdk")]
    assert calls == ["mobilesdk plan m.py:f --json", "mobilesdk doctor"]
