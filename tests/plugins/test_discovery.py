import pytest

from mobilesdk.errors import UnknownName, UsageError
from mobilesdk.plugins import Kind, add_file, compressor, discovery, exporter, names, use_files
from tests.conftest import STAND_INS, added_plugins

GRID = (STAND_INS / "compressors" / "grid.py").read_text()
PLAIN = (STAND_INS / "exporters" / "plain.py").read_text()


@pytest.fixture
def write(tmp_path):
    """Write a plug-in file of a compressor, or of another kind."""

    def write(text, name="mine", kind="compressors", folder="a"):
        path = tmp_path / folder / kind / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    with added_plugins(()):
        yield write


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("\nimport nosuchmodule\n", 2, "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("\n\ndef f(:\n", 3, "SyntaxError: invalid syntax"),
        ("def f():\n    return 1 / 0\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", 1, "SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_its_line_and_the_cause(
    write, text, line, cause
):
    path = write(text)
    add_file(path)
    with pytest.raises(UsageError) as caught:
        compressor("mine")
    assert f"'mine' cannot be imported: {path}:{line}: {cause}." in caught.value.message


def test_a_shipped_plugin_that_does_not_import_is_our_bug(write, monkeypatch):
    monkeypatch.setattr(discovery, "_shipped", lambda _: {"gone": "mobilesdk.compressors.gone"})
    with pytest.raises(ModuleNotFoundError):
        compressor("gone")


@pytest.mark.parametrize("value", ["int", "StepConfig()", "None"])
def test_settings_are_a_subclass_of_their_base(write, value):
    add_file(write(GRID.replace("config = StepConfig", f"config = {value}")))
    with pytest.raises(UsageError, match="has config = ") as caught:
        compressor("mine")
    assert "StepConfig" in caught.value.hint
    add_file(write(PLAIN.replace("options = Options", "options = int"), kind="exporters"))
    with pytest.raises(UsageError, match="has options = "):
        exporter("mine")


def test_files_of_a_call_are_gone_with_the_next_call_and_added_ones_stay(write):
    add_file(write(GRID, "added"))
    use_files([write(GRID, "first"), write(GRID, "added")])
    assert {"added", "first"} <= set(names(Kind.COMPRESSORS))
    assert compressor("first")
    use_files([write(GRID, "second")])
    assert {"added", "second"} <= set(names(Kind.COMPRESSORS))
    with pytest.raises(UnknownName):
        compressor("first")
    add_file(write(GRID, "second"))
    use_files([])
    assert {"added", "second"} <= set(names(Kind.COMPRESSORS))


def test_a_changed_file_is_loaded_anew(write):
    path = write(GRID)
    use_files([path])
    before = compressor("mine")
    path.write_text(f"{GRID}PLUGIN.title = 'another one'\n")
    assert compressor("mine") is before
    use_files([path])
    assert compressor("mine").title == "another one"


def test_two_files_of_one_name_are_refused(write):
    one, two = write(GRID), write(GRID, folder="b")
    with pytest.raises(UsageError, match="Two compressors are named 'mine'"):
        use_files([one, two])
