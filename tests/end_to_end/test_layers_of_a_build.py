"""``mobilesdk build --layers`` and ``mobilesdk report``, with a runtime that shows its values."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mobilesdk.bundle.canonical import canonical_json, files_below, tree_hash
from mobilesdk.bundle.manifest import read_manifest
from mobilesdk.core.layers import LayerReport
from tests.conftest import LINEAR

CLI = Path(__file__).parents[1] / "cli"
WATCHED = [
    part
    for folder in ("exporters", "runtimes")
    for part in ("--plugin", CLI / folder / "watched.py")
]
LAYERS = "records/watched/linear/layers.json"


class Texts(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.found = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.found.append(data)


@pytest.fixture
def compared(build, command_line):
    """Build a variant whose values can be seen."""

    def run(*arguments, samples=8, output="bundle", **export):
        target = command_line.target("watched", format="watched", **export)
        given = [*WATCHED, "--layers", samples, *arguments]
        return build(target, arguments=given, output=output)

    return run


def test_each_variant_has_a_record_of_its_layers(compared, command_line):
    result = compared()
    assert result.code == 0, result.err
    assert "layers of 1 variant(s): mobilesdk report" in result.out
    bundle = command_line.folder / "bundle"
    manifest = read_manifest(bundle)
    (variant,) = manifest.models[0].variants
    assert variant.records["layers"] == LAYERS
    named = {entry.path: entry for entry in manifest.files}
    for path in (LAYERS, variant.records["layers_page"]):
        assert named[path].sha256 == tree_hash(bundle / path)
    report = LayerReport.model_validate_json((bundle / LAYERS).read_bytes())
    assert (report.format, report.sample_count) == ("watched", 8)
    (layer,) = report.layers
    assert layer.sqnr_db == pytest.approx(60, abs=0.01)
    page = (bundle / variant.records["layers_page"]).read_text()
    assert "Layers of linear for watched" in Texts(page).found


def test_layers_are_cached_and_the_same_in_every_bundle(compared, command_line):
    folder = command_line.folder
    assert compared(output="one").code == 0
    assert "layers" not in compared(output="two").err
    for path in files_below(folder / "one"):
        again = folder / "two" / path.relative_to(folder / "one")
        assert path.read_bytes() == again.read_bytes()
    assert "layers" in compared(samples=9, output="three").err


def test_nothing_is_compared_unless_asked_for(compared, command_line):
    result = compared(samples=0)
    assert (result.code, "layers" in result.out) == (0, False)
    bundle = command_line.folder / "bundle"
    (variant,) = read_manifest(bundle).models[0].variants
    assert not {"layers", "layers_page"} & set(variant.records)
    assert not (bundle / LAYERS).exists()


def test_what_cannot_be_seen_is_said_and_fails_nothing(compared, command_line):
    assert compared(inside="shut").code == 0
    bundle, page = command_line.folder / "bundle", command_line.folder / "page.html"
    report = LayerReport.model_validate_json((bundle / LAYERS).read_bytes())
    assert (report.refusal, report.layers) == ("it is shut", ())
    assert command_line("report", bundle, "--output", page).code == 0
    said = "No value was compared with the float model: it is shut"
    assert said in Texts(page.read_text()).found


def test_a_comparison_that_breaks_off_fails_its_variant_alone(build, command_line):
    torn = command_line.target("torn", format="watched", inside="torn")
    good = command_line.target("good", format="watched")
    result = build(torn, good, arguments=[*WATCHED, "--layers", 8, "--json"])
    assert result.code == 6, result.err
    (failure,) = result.json["failures"]
    assert (failure["target"], failure["step"]) == ("torn", "layers")
    assert "it is torn" in failure["message"]
    (variant,) = result.json["manifest"]["models"][0]["variants"]
    assert variant["target"] == "good"


def test_a_runtime_that_shows_nothing_is_a_problem_of_the_plan(build, command_line):
    result = build(command_line.target("plain"), arguments=["--layers", 8, "--json"])
    assert result.code == 2
    (problem,) = result.json["problems"]
    assert "'plain' shows no values inside an artifact; leave out --layers" in problem["message"]


def test_layers_need_an_evaluation_set(command_line):
    target = command_line.target("watched", format="watched")
    given = ["plan", LINEAR, "--target", target, *WATCHED, "--layers", 8, "--json"]
    result = command_line(*given)
    assert result.code == 2
    (problem,) = result.json["problems"]
    assert "layers are compared on an evaluation set" in problem["message"]
    assert "give --evaluation" in problem["hint"]


def test_a_plan_has_the_step(command_line, sets):
    target = command_line.target("watched", format="watched")
    given = ["plan", LINEAR, "--target", target, *WATCHED, "--json"]
    given += ["--evaluation", sets / "evaluation.npz"]
    titles = [
        [step["title"] for step in command_line(*given, *more).json["variants"][0]["steps"]]
        for more in ([], ["--layers", 8])
    ]
    assert titles == [["export watched", "verify"], ["export watched", "verify", "layers"]]


def test_a_report_shows_variants_gates_and_layers(compared, command_line):
    budget = "[budget.any]\nmin_sqnr_db = 20.0\nmax_size_bytes = 1\n"
    assert compared(profile="strict", budget=budget).code == 1
    bundle, page = command_line.folder / "bundle", command_line.folder / "page.html"
    result = command_line("report", bundle, "--output", page, "--json")
    assert (result.code, result.json["output"]) == (0, str(page))
    shown = Texts(page.read_text())
    assert "Bundle bundle" in shown.found
    assert {"linear", "watched", "failed gate", "min_sqnr_db of scores", "<0>"} <= set(shown.found)
    assert any(text.startswith("max_size_bytes ") for text in shown.found)
    assert shown.tags.count("circle") == 1
    assert "script" not in shown.tags
    again = command_line.folder / "again.html"
    assert command_line("report", bundle, "--output", again).out.strip() == str(again)
    assert page.read_bytes() == again.read_bytes()


def test_a_bundle_without_layers_has_a_report(build, command_line):
    assert build(command_line.target("plain")).code == 0
    bundle, page = command_line.folder / "bundle", command_line.folder / "page.html"
    assert command_line("report", bundle, "--output", page).code == 0
    assert "svg" not in Texts(page.read_text()).tags


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000])
def test_a_damaged_record_of_layers_is_rejected(compared, command_line, content):
    assert compared().code == 0
    bundle, page = command_line.folder / "bundle", command_line.folder / "page.html"
    (bundle / LAYERS).write_bytes(content)
    result = command_line("report", bundle, "--output", page)
    assert (result.code, "its hash differs" in result.err) == (7, True)
    data = json.loads((bundle / "manifest.json").read_bytes())
    for entry in data["files"]:
        entry["sha256"] = tree_hash(bundle / entry["path"])
        entry["size_bytes"] = (bundle / entry["path"]).stat().st_size
    (bundle / "manifest.json").write_bytes(canonical_json(data))
    result = command_line("report", bundle, "--output", page)
    assert (result.code, "no record of layers" in result.err) == (7, True)
    assert not page.exists()
