import re

import pytest

from mobilesdk import __version__, errors
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.tasks import Event, Task, Usage


def test_an_unknown_command_is_a_usage_error_with_a_suggestion(command_line):
    result = command_line("biuld")
    assert (result.code, "did you mean 'build'?" in result.err) == (2, True)


def test_an_unknown_option_is_a_usage_error_in_json_too(command_line):
    result = command_line("doctor", "--jsn")
    assert (result.code, result.out) == (2, "")
    result = command_line("plan", "--json", "--frobnicate")
    assert result.code == 2
    assert result.json["error"]["code"] == "usage"
    assert "--frobnicate" in result.json["error"]["message"]
    assert result.json["exit_code"] == 2


def test_a_bug_is_exit_code_70_and_never_1(command_line, monkeypatch):
    def broken(**_):
        raise RuntimeError("not meant to be")

    monkeypatch.setattr("mobilesdk.api.cache", broken)
    result = command_line("cache", "--json")
    assert result.code == 70
    assert result.json["error"]["code"] == "internal"
    assert "not meant to be" in result.err
    assert "Traceback" in result.err


def test_the_version(command_line):
    result = command_line("--version")
    assert (result.code, result.out) == (0, f"mobilesdk {__version__}\n")


def test_doctor_lists_toolchains(command_line):
    result = command_line("doctor", "--json")
    assert {"python", "tools", "rules", "healthy"} == set(result.json)
    assert result.code == (0 if result.json["healthy"] else 3)
    keys = {"distribution", "version", "install", "needed"}
    assert all(set(tool) == keys for tool in result.json["tools"])
    assert command_line("doctor").code == result.code


def test_targets_are_listed_and_checked(command_line):
    listed = command_line("targets", "--json")
    assert listed.code == 0
    assert len(listed.json) >= 9
    assert command_line("targets").code == 0
    good = command_line.target("good")
    (command_line.folder / "bad.toml").write_text('schema_version = 1\nid = "bad"\n')
    bad = command_line.folder / "bad.toml"
    result = command_line("targets", "--check", bad, "--json")
    assert result.code == 2
    assert {"path", "line", "key", "message", "hint"} == set(result.json[0])
    assert good.exists()


def test_the_cache_is_shown_and_pruned(command_line, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    result = command_line("cache", "--json")
    assert (result.code, result.json["count"]) == (0, 0)
    assert result.json["limit_bytes"] == 20_000_000_000
    assert command_line("cache", "--prune", "0").out.startswith("removed 0 results")


def test_a_build_prunes_the_cache_to_its_limit(build, command_line, monkeypatch, own_cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    monkeypatch.setenv("MOBILESDK_CACHE_SIZE", "1MB")
    assert build(command_line.target("tier", padding_bytes=2_000_000)).code == 0
    assert command_line("cache", "--json").json["size_bytes"] <= 1_000_000


def test_a_limit_of_the_cache_that_is_no_size_is_refused_before_any_step(build, monkeypatch):
    monkeypatch.setenv("MOBILESDK_CACHE_SIZE", "much")
    result = build("none.toml", model="none:build")
    assert result.code == 2
    assert "MOBILESDK_CACHE_SIZE is 'much'" in result.err


@pytest.mark.parametrize("code", sorted(errors.error_classes()))
def test_every_error_is_explained(command_line, code):
    result = command_line("explain", code)
    assert result.code == 0
    assert result.out.startswith(f"{code}\n\n")
    assert len(result.out) > 100


def test_inspect_shows_what_is_in_an_artifact(build, command_line):
    assert build(command_line.target("tier")).code == 0
    artifact = command_line.folder / "bundle" / "variants" / "tier" / "linear.plain"
    plugin = command_line.plugin("runtimes/plain.py")
    result = command_line("inspect", artifact, "--plugin", plugin, "--json")
    assert result.code == 0
    assert result.json["weights"][0]["shape"] == [3, 4]
    result = command_line("inspect", artifact, "--plugin", plugin)
    assert "1 × linear float32 in plain" in result.out
    artifact.write_bytes(b"damaged")
    assert command_line("inspect", artifact, "--plugin", plugin).code == 7
    assert command_line("inspect", "nowhere.tflite").code == 2


def test_progress_is_a_line_for_each_step_on_stderr(build, command_line):
    target = command_line.target("tier", padding_bytes=11)
    result = build(target, arguments=["--json"])
    assert result.json["exit_code"] == 0
    assert "✓ linear · export plain · tier" in result.err
    costs = result.json["costs"]
    (cost,) = [each for each in costs["steps"] if each["step"] == "export plain"]
    assert (cost["model"], cost["targets"], cost["failed"]) == ("linear", ["tier"], False)
    assert cost["usage"]["cpu_seconds"] > 0
    assert cost["usage"]["peak_memory_bytes"] > 10_000_000
    assert re.search(r"= \d+ steps, .* CPU; most memory: \d", result.err)
    manifest = (command_line.folder / "bundle" / "manifest.json").read_text()
    assert "cpu_seconds" not in manifest


def test_progress_takes_any_text(capsys):
    from mobilesdk.cli.progress import BuildProgress

    task = Task("key", TaskKind.EXPORT, "", {}, {}, "[/] export", "model", ("tier",))
    with BuildProgress() as progress:
        for state in ("started", "progress", "failed"):
            progress.listen(Event(state, task, "[/unbalanced] {0}\nmore"))
        progress.listen(Event("started", task))
        progress.listen(Event("failed", task, ""))
    assert "[/] export · tier" in capsys.readouterr().err


def test_a_log_has_one_line_for_each_step(capsys):
    from mobilesdk.cli.progress import BuildProgress

    title = f"export {'x' * 100}"
    task = Task("key", TaskKind.EXPORT, "", {}, {}, title, "model", ("tier",))
    with BuildProgress() as progress:
        progress.listen(Event("finished", task, usage=Usage(cpu_seconds=1, peak_memory_bytes=1)))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_plugin_that_is_no_plugin_is_refused(command_line, tmp_path):
    result = command_line("inspect", "x.plain", "--plugin", tmp_path / "none.py")
    assert result.code == 2
