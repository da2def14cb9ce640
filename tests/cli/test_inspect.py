"""``mobilesdk inspect --layers`` and ``--profile``, with a runtime that needs no toolchain."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.conftest import LINEAR
from tests.stand_ins.linear import BIAS, WEIGHT

WATCHED = Path(__file__).parent / "runtimes" / "watched.py"


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "linear.watched"
    save_file({"weight": WEIGHT, "bias": BIAS}, path)
    return path


@pytest.fixture
def layers(command_line, artifact, sets):
    def run(*arguments, code=0):
        result = command_line(
            *("inspect", artifact, "--plugin", WATCHED, "--layers", "--model", LINEAR),
            *("--evaluation", sets / "evaluation.npz", *arguments),
        )
        assert result.code == code, result.err
        return result

    return run


def test_values_are_compared_on_so_many_samples(layers):
    found = layers("--samples", "40", "--json").json
    assert (found["format"], found["sample_count"], found["how"]) == ("watched", 40, "numpy")
    (layer,) = found["layers"]
    assert (layer["op"]["name"], layer["op"]["output"], layer["matched_by"]) == (
        "1",
        "scores",
        "name",
    )
    assert layer["sqnr_db"] == pytest.approx(60, abs=0.01)
    (other,) = found["unrelated"]
    assert other["op"]["name"] == "<0>"
    assert found["hidden_op_count"] == 2


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_table_and_page_say_what_was_compared_and_what_not(layers, tmp_path):
    result = layers("--html", tmp_path / "page.html")
    assert "1 values of watched ops compared with the float model on 8 samples" in result.out
    assert "2 ops inside of delegates show no value" in result.out
    assert "60.0 dB" in result.out
    assert re.search(r"not compared 1: .*\n  matmul <0>", result.out)
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert "<0>" not in text
    assert {"<0>", "60.0 dB", "matmul (3 ops)"} <= set(page.texts)
    assert [tag for tag, _ in page.tags].count("circle") == 1
    assert not [tag for tag, attributes in page.tags if tag == "script" or "href" in attributes]


def test_an_artifact_whose_values_cannot_be_seen_is_refused(layers, artifact):
    shut = np.frombuffer(b"shut", np.uint8)
    save_file({"weight": WEIGHT, "bias": BIAS, "inside": shut}, artifact)
    assert "cannot be seen: it is shut" in layers(code=2).err


def test_ops_are_timed(command_line, artifact):
    result = command_line(
        "inspect", artifact, "--plugin", WATCHED, "--profile", "--runs", "7", "--json"
    )
    assert result.code == 0
    assert (result.json["measured_on"], result.json["run_count"]) == ("host", 7)
    assert result.json["total_ns"] == 2000  # what is inside of another op counts once
    result = command_line("inspect", artifact, "--plugin", WATCHED, "--profile")
    assert "on this host, not on a device" in result.out
    assert "<part>" in result.out
    assert "45.0 %" in result.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--layers", "--profile"], "exclude"),
        (["--model", "model.py:build"], "--layers"),
        (["--html", "page.html"], "--layers"),
        (["--runs", "3"], "--profile"),
        (["--layers"], "--model"),
        (["--layers", "--model", LINEAR], "--evaluation"),
        (["--layers", "--model", LINEAR, "--evaluation", "nowhere"], "nowhere"),
        (["--layers", "--samples", "0"], "samples"),
    ],
)
def test_options_that_do_not_go_together_are_refused(command_line, artifact, arguments, word):
    result = command_line("inspect", artifact, "--plugin", WATCHED, *arguments, "--json")
    assert (result.code, result.json["error"]["message"] != "") == (2, True)
    assert word in result.err


def test_a_runtime_that_shows_nothing_is_named(command_line, build, sets):
    assert build(command_line.target("tier")).code == 0
    bundle = command_line.folder / "bundle"
    plugin = ("--plugin", command_line.plugin("runtimes/plain.py"))
    asked = ("--layers", "--model", LINEAR, "--evaluation", sets / "evaluation.npz")
    for flags, word in ((asked, "shows no values"), (["--profile"], "cannot time ops")):
        result = command_line("inspect", bundle, "--target", "tier", *plugin, *flags)
        assert result.code == 2
        assert f"'plain' {word}" in result.err
    result = command_line("inspect", bundle, "--target", "tier", *plugin, "--json")
    assert (result.code, result.json["format"]) == (0, "plain")
    result = command_line("inspect", bundle, "--target", "teir", *plugin)
    assert (result.code, "did you mean 'tier'?" in result.err) == (2, True)
