import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mobilesdk.errors import ToolchainMissing
from mobilesdk.pipeline import doctor
from mobilesdk.plugins import Tool

REPOSITORY = Path(__file__).parents[2]
HOLDS = {
    "numpy-2.4-with-coremltools-9": {"coremltools": "9.0", "numpy": "2.4.1"},
    "numpy-1-with-executorch": {"executorch": "1.5.1", "numpy": "1.26.4"},
    "scikit-learn-pin": {"scikit-learn": "1.5.1", "executorch": "1.5.1"},
    "torch-lifted": {"torch": "2.14.1"},
    "torch-old": {"torch": "2.8.0"},
    "coremltools-beside-tensorflow-and-triton": {
        "coremltools": "9.0",
        "tensorflow-cpu": "2.21.0",
        "triton": "3.5.0",
    },
    "coremltools-beside-tensorflow-and-triton-gpu": {
        "coremltools": "9.0",
        "tensorflow": "2.21.0",
        "triton": "3.5.0",
    },
    "coremltools-prunes-nothing": {"coremltools": "9.0", "numpy": "2.3.5"},
}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these distributions are installed, and no others."""

    def pretend(versions):
        monkeypatch.setattr(doctor, "version_of", versions.get)

    return pretend


def holding():
    return {rule.id for rule in doctor.holding_rules()}


def test_there_is_a_test_for_every_rule():
    assert {rule.id for rule in doctor.rules()} == set(HOLDS)


@pytest.mark.parametrize("rule", HOLDS)
def test_a_rule_holds_for_its_versions_and_not_when_one_is_absent(installed, rule):
    installed(HOLDS[rule])
    assert rule in holding()
    for name in HOLDS[rule]:
        installed({key: value for key, value in HOLDS[rule].items() if key != name})
        assert rule not in holding()


def test_no_broken_rule_holds_for_the_versions_that_go_together(installed):
    installed({"torch": "2.13.0", "coremltools": "9.0", "executorch": "1.5.1", "numpy": "2.3.5"})
    assert not [rule for rule in doctor.holding_rules() if rule.level == "broken"]


def test_requirements_are_ranges_of_versions(installed):
    for text in (text for rule in doctor.rules() for text in rule.when):
        assert Requirement(text).specifier
    installed({"numpy": "2.4.0rc1", "coremltools": "9.0"})
    assert "numpy-2.4-with-coremltools-9" not in holding()


def test_a_missing_tool_comes_with_the_line_that_installs_it(installed):
    tools = [Tool(distribution="coremltools", extra="coreml"), Tool(distribution="a", extra="b")]
    installed({})
    with pytest.raises(ToolchainMissing, match="Not installed: a, coremltools") as caught:
        doctor.require(tools)
    assert caught.value.hint == "pip install 'mobilesdk[b,coreml]'"
    assert caught.value.exit_code == 3


def test_an_extra_that_another_one_holds_is_not_named():
    def line(*extras):
        return doctor.install_line(Tool(distribution=each, extra=each) for each in extras)

    assert line("torch") == "pip install 'mobilesdk[torch]'"
    assert line("litert", "torch", "coreml") == "pip install 'mobilesdk[coreml,litert]'"
    assert line("torch", "tensorflow", "own") == "pip install 'mobilesdk[own,tensorflow,torch]'"


def test_a_broken_combination_is_refused_only_where_it_matters(installed):
    installed({"coremltools": "9.0", "numpy": "2.4.1", "litert-torch": "0.10.0"})
    with pytest.raises(ToolchainMissing, match=r"numpy>=2\.4") as caught:
        doctor.require([Tool(distribution="coremltools", extra="coreml")])
    assert caught.value.hint == "pip install 'numpy>=2,<2.4'"
    doctor.require([Tool(distribution="litert-torch", extra="litert")])


def test_a_diagnosis_is_healthy_when_all_is_there_and_nothing_is_broken(monkeypatch, installed):
    monkeypatch.setattr(doctor, "all_tools", lambda: (Tool(distribution="torch", extra="torch"),))
    installed({"torch": "2.13.0"})
    assert doctor.diagnose().healthy
    installed({"torch": "2.14.0"})
    assert doctor.diagnose().healthy  # untested is no fault
    installed({})
    assert not doctor.diagnose().healthy


def test_all_of_the_extras_and_of_the_rules_is_listed(installed):
    installed({tool.distribution: "1" for tool in doctor.all_tools()})
    found = doctor.diagnose()
    tools = {tool.distribution: tool for tool in found.tools}
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for requirement in (Requirement(text) for texts in extras.values() for text in texts):
        assert requirement.name == "mobilesdk" or tools[requirement.name].install
    for requirement in (Requirement(text) for rule in doctor.rules() for text in rule.when):
        assert requirement.name in tools
    assert tools["tensorflow-cpu"].install == "pip install 'mobilesdk[tensorflow]'"
    assert tools["tensorflow-cpu"].needed
    assert not tools["scikit-learn"].needed
    assert found.healthy  # nothing needs scikit-learn


@pytest.mark.slow
def test_a_core_ml_worker_imports_coremltools_beside_tensorflow():
    code = (
        "from mobilesdk.lowering.coreml.convert import import_coremltools as bring;"
        "print(bring().__version__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-2000:]
    assert found.stdout.split()[-1] == "9.0"
