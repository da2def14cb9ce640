"""What a request says by itself is told at once, and before any model is read."""

import pytest

import mobilesdk
from mobilesdk.pipeline.launch import Workers
from mobilesdk.plugins import Kind, exporter, names
from tests.conftest import PLUGINS

FRESH = "def build():\n    raise AssertionError('this model was read')\n"


@pytest.fixture
def fresh(command_line, monkeypatch):
    """A model that nobody has read, and that nobody may read now."""

    def started(*_):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(Workers, "run", started)
    path = command_line.folder / "fresh.py"
    path.write_text(FRESH)
    return f"{path}:build"


def test_all_that_is_wrong_is_told_without_reading_the_model(build, fresh, command_line):
    broken = command_line.folder / "broken.toml"
    broken.write_text("schema_version = 1\nid = 7\n")
    absent = command_line.target("absent", compress=[{"method": "grid"}], profile="grid")
    bad_profile = command_line.target("bad-profile", profile="bad", compress=[{"method": "grd"}])
    (command_line.folder / "bundle").mkdir()
    result = build(
        *("aple-ane", broken, absent, absent, bad_profile),
        model=fresh,
        arguments=["--calibration", "nowhere"],
    )
    assert result.code == 2
    for told in (
        "did you mean 'apple-ane'?",
        "broken.toml:2",
        "Two targets are named 'absent'",
        "bad-profile: ",
        "did you mean 'grid'?",
        "fresh: the calibration set nowhere does not exist",
        "bundle exists",
        "fresh was not read yet: there may be more",
    ):
        assert told in result.err, result.err


@pytest.mark.parametrize(
    ("targets", "arguments", "code"),
    [
        (["aple-ane"], [], "unknown-name"),
        ([], ["--calibration", "nowhere"], "invalid-dataset"),
    ],
)
def test_one_fault_is_an_error_of_its_own(build, fresh, targets, arguments, code):
    result = build(*targets, model=fresh, arguments=[*arguments, "--json"])
    assert (result.code, result.json["error"]["code"]) == (2, code)


def test_a_calibration_set_that_is_surely_needed_is_asked_for(fresh, sets, command_line):
    def told(target, **sets):
        plan = mobilesdk.plan(fresh, targets=[target, "aple-ane"], plugins=PLUGINS, **sets)
        return "fresh for tier: grid needs a calibration set" in " ".join(map(str, plan.problems))

    target = command_line.target("tier", compress=[{"method": "grid"}], profile="grid")
    assert told(target)
    assert not told(target, calibration=sets / "calibration.npz")
    text = target.read_text()
    target.write_text(text + 'other = "fp16"\n')  # one family of models needs none
    assert not told(target)


def test_an_output_that_exists_is_told_before_the_model_is_read(build, fresh, command_line):
    (command_line.folder / "bundle").mkdir()
    result = build(command_line.target("tier"), model=fresh, arguments=["--json"])
    assert (result.code, result.json["error"]["code"]) == (2, "output-exists")


@pytest.mark.parametrize(
    ("model", "told"),
    [("nowhere.py:build", "There is no file nowhere.py"), ("net.onnx", "No frontend takes")],
)
def test_a_model_that_is_not_there_is_told_with_the_rest(build, fresh, model, told):
    result = build("aple-ane", model=model)
    assert result.code == 2
    assert told in result.err
    assert "did you mean 'apple-ane'?" in result.err


def test_a_toolchain_that_a_named_target_lacks_is_told_before_the_model_is_read(
    build, fresh, command_line, monkeypatch
):
    from mobilesdk.pipeline import doctor

    version_of = doctor.version_of
    absent = {"litert-torch": None}
    monkeypatch.setattr(doctor, "version_of", lambda name: absent.get(name, version_of(name)))
    result = build("android-npu", model=fresh)
    assert result.code == 3
    assert "Not installed: litert-torch." in result.err
    assert "pip install 'mobilesdk[litert]'" in result.err


def test_all_toolchains_that_are_missing_are_told_in_one_line(build, fresh, monkeypatch):
    from mobilesdk.pipeline import doctor

    monkeypatch.setattr(doctor, "version_of", lambda name: None)
    extras = {tool.extra for name in names(Kind.EXPORTERS) for tool in exporter(name).tools}
    told = f"pip install 'mobilesdk[{','.join(sorted(extras))}]'"
    result = build(model=fresh)  # for the shipped targets
    assert result.code == 3
    assert f"Fix: {told}\n" in result.err
    assert build("apple-ane", "android-npu", model=fresh).err.count("pip install") == 1


def test_a_profile_that_a_project_chooses_is_looked_for(fresh, command_line, monkeypatch):
    command_line.target("tier")
    (command_line.folder / "mobilesdk.toml").write_text(
        'schema_version = 1\ntargets = ["tier.toml"]\n'
        '[[models]]\nmodel = "fresh.py:build"\nprofiles = { tier = "plian", tire = "plain" }\n'
    )
    monkeypatch.chdir(command_line.folder)
    plan = mobilesdk.plan(plugins=PLUGINS)
    first, second = map(str, plan.problems)
    assert "names a profile for 'tire', which is no target: did you mean 'tier'?" in first
    assert second.startswith("tier: No profile named 'plian'. did you mean 'plain'?")
    assert (plan.unread, plan.variants) == (("fresh",), ())


def test_a_model_that_was_read_before_is_planned_with_the_faults(build, command_line):
    tier = command_line.target("tier")
    assert build(tier).code == 0
    refused = command_line.target("refused", note="refused")
    result = build("aple-ane", refused, output="other")
    assert result.code == 2
    assert "The plan has 2 problem(s):" in result.err
    assert "it stores no notes" in result.err
