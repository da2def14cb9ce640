"""The texts of ``--help``.

``MOBILESDK_UPDATE=1 pytest tests/cli/test_help.py`` writes them again.
"""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from mobilesdk.cli import COMMANDS, cli

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_as_it_was_written_down(command):
    arguments = [*command.split(), "--help"]
    result = CliRunner().invoke(
        cli, arguments, prog_name="mobilesdk", terminal_width=100, max_content_width=100
    )
    assert result.exit_code == 0
    golden = GOLDEN / f"{command or 'mobilesdk'}.txt"
    if os.environ.get("MOBILESDK_UPDATE"):
        golden.write_text(result.output)
    assert result.output == golden.read_text()


def test_every_golden_text_is_of_a_command():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"mobilesdk", *COMMANDS}
