import subprocess
import sys
from pathlib import Path

import pytest

import mobilesdk
from mobilesdk.errors import InvalidModel, OutputExists, PlanRefused
from tests.conftest import LINEAR, PLUGINS

SAMPLE = """
from pathlib import Path

import mobilesdk
from mobilesdk import ArrayInput, ImageInput, ModelSpec, TokenInput

spec = ModelSpec(object(), (), inputs={"x": ImageInput(size=(2, 2)), "y": TokenInput()})
result = mobilesdk.build("m.py:f", output=Path("b"), targets=["apple-ane"], calibration="photos")
code: int = result.exit_code
names: list[str] = [v.target for m in result.manifest.models for v in m.variants]
codes: list[str] = [problem.code for problem in mobilesdk.plan("m.py:f").problems]
passed: bool | None = mobilesdk.verify("b").passed
size: int = mobilesdk.inspect(Path("a.tflite")).size_bytes
preparation = ArrayInput()
"""


@pytest.fixture
def arguments(command_line, sets, stand_ins):
    return {
        "targets": [command_line.target("tier")],
        "calibration": sets / "calibration.npz",
        "evaluation": sets / "evaluation.npz",
        "plugins": PLUGINS,
    }


def test_functions_give_what_the_commands_print(arguments, command_line, build):
    folder = command_line.folder
    by_command = build(*arguments["targets"], output="one", arguments=["--json"]).json
    result = mobilesdk.build(LINEAR, output=folder / "two", **arguments)
    by_function = result.model_dump(mode="json") | {"exit_code": result.exit_code}
    del by_command["output"], by_function["output"]
    assert by_function == by_command

    plan = mobilesdk.plan(LINEAR, **arguments)
    assert plan.problems == ()
    assert plan.cached_count == plan.step_count == 2

    plugins = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
    printed = command_line("verify", folder / "two", *plugins, "--json").json
    report = mobilesdk.verify(folder / "two", plugins=PLUGINS)
    assert report.model_dump(mode="json") | {"passed": report.passed} == printed
    artifact = folder / "two" / "variants" / "tier" / "linear.plain"
    printed = command_line("inspect", artifact, *plugins, "--json").json
    assert mobilesdk.inspect(artifact, plugins=PLUGINS).model_dump(mode="json") == printed


def test_a_listener_hears_every_step(arguments, command_line):
    heard = []
    arguments["targets"] = [command_line.target("heard", padding_bytes=13)]
    output = command_line.folder / "bundle"
    mobilesdk.build(LINEAR, output=output, listener=heard.append, **arguments)
    finished = [event.task.title for event in heard if event.state == "finished"]
    assert "export plain" in finished
    assert finished[-1] == "verify"


def test_what_goes_wrong_is_raised(arguments, command_line):
    output = command_line.folder / "bundle"
    output.mkdir()
    with pytest.raises(OutputExists):
        mobilesdk.build(LINEAR, output=output, **arguments)
    with pytest.raises(InvalidModel, match="no model was given"):
        mobilesdk.verify(output)
    arguments["targets"] = [command_line.target("refused", note="refused")]
    with pytest.raises(PlanRefused) as caught:
        mobilesdk.build(LINEAR, output=output / "new", **arguments)
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == (
        "plan-refused",
        "linear for refused: it stores no notes",
    )


def test_nothing_changed_starts_no_worker_and_imports_no_toolchain(arguments, command_line):
    output = command_line.folder / "bundle"
    mobilesdk.build(LINEAR, output=output, **arguments)
    heard = []
    mobilesdk.build(LINEAR, output=output, overwrite=True, listener=heard.append, **arguments)
    assert {event.state for event in heard} == {"cached"}


@pytest.mark.slow
def test_the_public_names_are_typed(tmp_path):
    (tmp_path / "sample.py").write_text(SAMPLE)
    root = Path(mobilesdk.__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", root / "pyproject.toml"]
    cache = ["--cache-dir", root / ".mypy_cache"]
    found = subprocess.run(
        [*command, *cache, tmp_path / "sample.py"], cwd=root, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout
