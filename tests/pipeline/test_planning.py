import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mobilesdk
from tests.conftest import LINEAR, PLUGINS


@pytest.fixture
def plan(command_line, sets):
    def run(*targets, arguments=(), calibration=True):
        given = ["--calibration", sets / "calibration.npz"] if calibration else []
        return command_line(*plan_arguments(targets), *given, *arguments, "--json")

    return run


def plan_arguments(targets):
    return [
        "plan",
        LINEAR,
        *(part for target in targets for part in ("--target", target)),
        *(part for plugin in PLUGINS for part in ("--plugin", plugin)),
    ]


def grid(times=1):
    return [{"method": "grid"}] * times


def test_a_plan_lists_the_steps_of_every_target(plan, command_line):
    target = command_line.target("tier", profile="grid", compress=grid())
    result = plan(target)
    assert result.code == 0, result.err
    (variant,) = result.json["variants"]
    assert [step["title"] for step in variant["steps"]] == ["grid", "export plain", "verify"]
    assert (variant["model"], variant["target"], variant["profile"]) == ("linear", "tier", "grid")
    assert result.json["problems"] == []


def test_every_problem_is_told_at_once(plan, command_line):
    plan(command_line.target("before"))  # so that the model is known
    twice = command_line.target("twice", profile="twice", compress=grid(2))
    refused = command_line.target("refused", note="refused")
    (command_line.folder / "broken.toml").write_text("schema_version = 1\nid = 7\n")
    result = plan(
        twice,
        refused,
        "aple-ane",
        command_line.folder / "broken.toml",
        arguments=["--evaluation", "nowhere.npz"],
        calibration=False,
    )
    assert result.code == 2
    found = result.json["problems"]
    problems = "\n".join(f"{each['message']} {each['hint']}" for each in found)
    assert "grid cannot follow: the model is quantized already" in problems
    assert "linear for refused: it stores no notes" in problems
    assert "did you mean 'apple-ane'?" in problems
    assert "the evaluation set nowhere.npz does not exist" in problems
    assert "linear for twice: grid needs a calibration set. give --calibration" in problems
    places = {(each["code"], Path(each["file"]).name, each["line"]) for each in found}
    assert places == {
        ("invalid-dataset", "", None),
        ("invalid-target", "broken.toml", 1),
        ("invalid-target", "broken.toml", 2),
        ("plan-refused", "refused.toml", 15),
        ("plan-refused", "twice.toml", 14),
        ("unknown-name", "", None),
    }


def unusable(sets):
    """Sets for the linear stand-in: what is told of each, and the values."""
    values = np.load(sets / "evaluation.npz")["x"]
    lost = values.copy()
    lost[3, 2] = np.nan
    return {
        "sample 3 holds infinite values or NaN": {"x": lost},
        "has the shape [40, 3], but the input is [1, 4]": {"x": values[:, :3]},
        "lacks the input 'x'": {},
        "'y', which is no input": {"y": values},
        "is float64, but the input is float32": {"x": values.astype(float)},
        "holds Python objects": {"x": np.array([{}] * 40)},
        "is empty": {"x": values[:0]},
        "There are only 5 sample(s)": {"x": values[:5]},
    }


def test_both_sets_are_checked_by_a_plan_and_told_together(build, command_line, sets):
    tier = command_line.target("tier")
    for told, arrays in unusable(sets).items():
        np.savez(command_line.folder / "bad.npz", **arrays)
        np.savez(command_line.folder / "flat.npz", x=np.ones((40, 4), np.float32))
        given = [
            *("--calibration", command_line.folder / "flat.npz"),
            *("--evaluation", command_line.folder / "bad.npz"),
        ]
        result = command_line(*plan_arguments([tier]), *given)
        assert result.code == 2, result.out
        refused = build(tier, arguments=given)
        assert refused.code == 2
        for text in (" ".join(result.out.split()), refused.err):
            assert "sample 0 is constant" in text
            assert told in text
    assert not (command_line.folder / "bundle").exists()


def test_sets_that_share_samples_are_a_problem_of_the_plan(plan, command_line, sets):
    tier = command_line.target("tier")
    result = plan(tier, arguments=["--evaluation", sets / "calibration.npz"])
    assert result.code == 2
    (problem,) = result.json["problems"]
    assert "40 sample(s) of the evaluation set are in the calibration set too" in problem["message"]
    assert problem["code"] == "invalid-dataset"
    result = plan(tier, arguments=["--evaluation", sets / "evaluation.npz"])
    assert (result.code, result.json["problems"]) == (0, [])


def test_a_build_refuses_a_plan_with_problems(build, command_line):
    targets = [command_line.target(name, note="refused") for name in ("refused", "second")]
    junit = command_line.folder / "junit.xml"
    result = build(*targets, arguments=["--json", "--junit", junit])
    assert result.code == 2
    assert "The plan has 2 problem(s):" in result.err
    assert len(result.json["problems"]) == 2
    assert junit.read_text().count("it stores no notes") == 2
    assert not (command_line.folder / "bundle").exists()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"method": "quantize_weights"}] * 2, "cannot follow: the model is"),
        (
            [{"method": "quantize_weights"}, {"method": "sparsify", "ratio": 0.5}],
            "sparsify cannot follow: the model is",
        ),
        (
            [{"method": "prune_channels", "ratio": 0.5}] * 2,
            "prune_channels cannot follow: the model is pruned already",
        ),
        (
            [{"method": "fp16"}, {"method": "prune_channels", "ratio": 0.5}],
            "prune_channels cannot follow: the model is half already",
        ),
        (
            [{"method": "prune_channels", "ratio": 0.5, "keep": ["stem.*"]}],
            "prune_channels names 'stem.*', which is no weight of the model",
        ),
    ],
)
def test_the_shipped_methods_refuse_orders_that_make_no_sense(plan, command_line, steps, message):
    target = command_line.target("tier", profile="nonsense", compress=steps)
    result = plan(target)
    assert result.code == 2
    assert any(message in problem["message"] for problem in result.json["problems"])


def test_a_missing_toolchain_is_exit_code_3_with_the_line_that_installs_it(
    plan, build, command_line
):
    absent = command_line.target("absent", profile="absent", compress=[{"method": "absent"}])
    good = command_line.target("good")
    result = plan(absent, good)
    assert result.code == 3
    assert result.json["missing_tools"] == {
        "Not installed: no-such-toolchain.": "pip install 'mobilesdk[absent]'"
    }
    assert {variant["target"] for variant in result.json["variants"]} == {"absent", "good"}
    result = build(absent, good)
    assert (result.code, "pip install 'mobilesdk[absent]'" in result.err) == (3, True)
    assert not (command_line.folder / "bundle").exists()


def test_what_two_targets_share_is_one_step(plan, command_line):
    one = command_line.target("one", profile="grid", compress=grid())
    two = command_line.target("two", profile="grid", padding_bytes=3)
    first, second = plan(one, two).json["variants"]
    assert first["steps"][0]["key"] == second["steps"][0]["key"]
    assert first["steps"][0]["shared_by"] == 2
    assert first["steps"][1]["key"] != second["steps"][1]["key"]


def test_two_targets_of_one_name_are_refused(plan, command_line, tmp_path):
    target = command_line.target("tier")
    result = plan(target, target)
    (problem,) = result.json["problems"]
    assert problem["message"].startswith("Two targets are named 'tier': ")


def test_a_family_that_a_tier_does_not_get_is_refused_only_if_asked_for(plan, command_line):
    target = command_line.target("tier")
    reason = 'default = { unsupported = "too slow" }'
    target.write_text(target.read_text().replace('default = "plain"', reason))
    result = plan(target)
    (problem,) = result.json["problems"]
    assert problem["message"] == "linear for tier: too slow"
    result = plan()  # every shipped target in reach
    assert result.code == 0, result.out
    assert all(entry["reason"] for entry in result.json["unreachable"])
    assert len(result.json["variants"]) >= 5


def test_a_plan_has_the_same_bytes_under_any_hash_seed(command_line, sets):
    outputs = set()
    for seed in ("1", "2"):
        outputs.add(
            subprocess.run(
                [
                    *(sys.executable, "-m", "mobilesdk", *map(str, plan_arguments(()))),
                    *("--calibration", sets / "calibration.npz", "--json"),
                ],
                env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
        )
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["variants"]


STATEFUL = """
import torch

class Total(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 4))
    def forward(self, x):
        self.total += x
        return self.total * 2

def build():
    return Total().eval(), (torch.zeros(1, 4),)
"""


def test_states_are_refused_where_nothing_keeps_them(command_line):
    model, sequences = command_line.folder / "stateful.py", command_line.folder / "set.npz"
    model.write_text(STATEFUL)
    values = np.random.default_rng(0).normal(size=(32, 3, 4)).astype(np.float32)
    np.savez(sequences, x=values)
    plain = command_line.target("plain-tier")
    unaware = command_line.target("tier", profile="grid", compress=grid())
    without_samples = {"method": "prune_channels", "ratio": 0.5, "reconstruction": False}
    pruned = command_line.target("pruned-tier", profile="pruned", compress=[without_samples])
    result = command_line(
        *("plan", f"{model}:build"),
        *(part for target in (plain, unaware, pruned) for part in ("--target", target)),
        *("--calibration", sequences, "--json"),
        *(part for plugin in PLUGINS for part in ("--plugin", plugin)),
    )
    assert result.code == 2, result.err
    problems = json.dumps(result.json)
    assert "plain keeps no states; the model has total" in problems
    assert "grid does not work on models with states; the model has total" in problems
    assert "prune_channels does not work on models with states; the model has total" in problems


def test_each_model_that_cannot_be_read_is_told_also_if_it_is_not_the_first(
    command_line, monkeypatch
):
    for name in ("first", "second"):
        (command_line.folder / f"{name}.py").write_text(f"def build():\n    return '{name}'\n")
    command_line.target("tier")
    names = ("first.py:build", LINEAR, "second.py:build")
    models = "".join(f'[[models]]\nmodel = "{name}"\n' for name in names)
    (command_line.folder / "mobilesdk.toml").write_text(
        f'schema_version = 1\ntargets = ["tier.toml"]\n{models}'
    )
    monkeypatch.chdir(command_line.folder)
    plan = mobilesdk.plan(plugins=PLUGINS)
    assert [problem.code for problem in plan.problems] == ["invalid-model"] * 2
    first, second = map(str, plan.problems)
    assert "first.py" in first
    assert "second.py" in second
    assert plan.unread == ("first", "second")


FLEXIBLE = """
import torch
from mobilesdk import Dimension, ModelSpec

def build():
    torch.manual_seed(0)
    batch = Dimension(name="batch", min=1, max=8, axes={"input_0": 0})
    return ModelSpec(torch.nn.Linear(4, 3).eval(), (torch.zeros(2, 4),), dimensions=(batch,))
"""


def test_dimensions_are_refused_where_files_or_methods_have_none(command_line):
    model, samples = command_line.folder / "flexible.py", command_line.folder / "set.npz"
    model.write_text(FLEXIBLE)
    values = np.random.default_rng(0).normal(size=(32, 2, 4)).astype(np.float32)
    np.savez(samples, input_0=values)
    plain = command_line.target("plain-tier")
    unaware = command_line.target("tier", profile="grid", compress=grid())
    without_samples = {"method": "prune_channels", "ratio": 0.5, "reconstruction": False}
    pruned = command_line.target("pruned-tier", profile="pruned", compress=[without_samples])
    result = command_line(
        *("plan", f"{model}:build"),
        *(part for target in (plain, unaware, pruned) for part in ("--target", target)),
        *(part for name in ("android-npu", "apple-coreai") for part in ("--target", name)),
        *("--calibration", samples, "--json"),
        *(part for plugin in PLUGINS for part in ("--plugin", plugin)),
    )
    assert result.code == 2, result.err
    problems = json.dumps(result.json)
    has = "the model has batch of 1 \\u2026 8"
    assert (
        f"plain takes no model with dimensions: its exporter writes static shapes; {has}"
        in problems
    )
    assert "LiteRT has a signature for each size, and the model has a batch of 1" in problems
    assert "coreai takes no model with dimensions" in problems
    assert f"grid does not work on models with dimensions; {has}" in problems
    assert f"prune_channels does not work on models with dimensions; {has}" in problems
