"""Files of the repository hold nothing about the machine that they were written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MACHINE = {
    "a path of one machine": re.compile(r"(?<![\w.:/<>-])/(?:work|root|tmp|home|Users|mnt)/[\w.]"),
    "a package index": re.compile(
        r"(?:pypi|pythonhosted|npmjs|goproxy|jfrog|artifactory)\.\w+|--(?:extra-)?index-url",
        re.IGNORECASE,
    ),
    "an address of a network": re.compile(
        r"(?<![\d.=])(?:10\.\d+|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\d.])"
    ),
}


def tracked() -> list[Path]:
    """List the files that are in the repository, or would be added to it; binary ones are not."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def traces(text: str) -> list[str]:
    """Give what a text tells about a machine, each with its line."""
    return [
        f"{number}: {what}: {found.group()}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in MACHINE.items()
        for found in pattern.finditer(line)
    ]


def test_no_file_tells_about_a_machine() -> None:
    found = {
        str(path.relative_to(REPOSITORY)): traces(path.read_text(encoding="utf-8"))
        for path in tracked()
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_pins_have_hashes_and_no_places() -> None:
    text = (REPOSITORY / "constraints.txt").read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\w)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    "text",
    [
        "data = '/" + "work/photos'",
        "see /" + "root/.cache",
        "open('/" + "tmp/x')",
        "pip install --" + "index-url x y",
        "https://pypi" + ".org/simple",
        "http://10.0" + ".12.7:80",
        "proxy = 192.168" + ".0.7",
    ],
)
def test_a_trace_is_found(text: str) -> None:
    assert traces(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/root/x",
        "mobilesdk/tmp/x",
        "version 10.0.1",
        "nvidia-x==10.4.0.35",
        "/dev/null",
        "/proc/cpuinfo",
    ],
)
def test_other_text_is_not(text: str) -> None:
    assert traces(text) == []
