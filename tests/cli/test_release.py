from pathlib import Path

import pytest

from mobilesdk.cli.options import release_code
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.verification import VerifyReport
from tests.conftest import LINEAR, PLUGINS

PLUGIN_OPTIONS = [part for plugin in PLUGINS for part in ("--plugin", plugin)]
BUDGET = "[budget.any]\nmin_sqnr_db = 20.0\n"
TOLD = "Not releasable"


@pytest.mark.parametrize(
    ("code", "releasable", "required", "expected"),
    [
        (0, True, True, 0),
        (0, False, False, 0),
        (0, False, True, 1),
        (6, False, True, 6),
        (6, False, False, 6),
    ],
)
def test_the_exit_code_of_a_bundle(capsys, code, releasable, required, expected):
    assert release_code(code, releasable=releasable, required=required) == expected
    assert (TOLD in capsys.readouterr().err) is not releasable


def test_a_bundle_without_figures_fails_only_where_it_has_to_be_releasable(command_line):
    target, bundle = command_line.target("tier", budget=BUDGET), command_line.folder / "bundle"
    given = ["build", LINEAR, "--target", target, "--output", bundle, *PLUGIN_OPTIONS]
    result = command_line(*given)
    assert (result.code, TOLD in result.err) == (0, True)
    result = command_line(*given, "--overwrite", "--require-releasable", "--json")
    assert (result.code, result.json["exit_code"], TOLD in result.err) == (1, 1, True)

    result = command_line("verify", bundle, *PLUGIN_OPTIONS, "--json")
    assert (result.code, result.json["passed"], result.json["releasable"]) == (0, True, False)
    assert TOLD in result.err
    assert command_line("verify", bundle, *PLUGIN_OPTIONS, "--require-releasable").code == 1


def test_a_verified_bundle_is_releasable(build, command_line):
    result = build(command_line.target("tier", budget=BUDGET), arguments=["--require-releasable"])
    assert (result.code, TOLD in result.err) == (0, False)
    bundle = command_line.folder / "bundle"
    result = command_line("verify", bundle, *PLUGIN_OPTIONS, "--require-releasable")
    assert (result.code, TOLD in result.err) == (0, False)


@pytest.mark.parametrize(
    ("verdicts", "passed", "code", "code_if_required"),
    [
        (("passed", "measured"), True, 0, 0),
        (("passed", "failed"), False, 1, 1),
        (("passed", "unverifiable"), None, 0, 1),
        (("passed", "not_evaluated"), True, 0, 1),
    ],
)
def test_an_artifact_has_to_pass_and_to_run(
    command_line, monkeypatch, verdicts, passed, code, code_if_required
):
    checks = tuple(
        Check(subject="x.plain", name=name, verdict=verdict)
        for name, verdict in zip(("structure", "parity"), verdicts, strict=True)
    )
    report = VerifyReport(path=Path("x.plain"), checks=checks)
    monkeypatch.setattr("mobilesdk.api.verify", lambda *_, **__: report)
    result = command_line("verify", "x.plain", "--json")
    assert (result.code, result.json["passed"], result.err) == (code, passed, "")
    result = command_line("verify", "x.plain", "--require-releasable")
    assert (result.code, TOLD in result.err) == (code_if_required, code_if_required == 1)
