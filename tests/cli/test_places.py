import pytest


def test_an_error_is_explained_for_machines(command_line):
    result = command_line("explain", "write-failed", "--json")
    assert result.code == 0
    assert (result.json["code"], result.json["exit_code"]) == ("write-failed", 6)
    assert result.json["text"] in command_line("explain", "write-failed").out


@pytest.mark.parametrize(
    ("output", "reason"),
    [("/proc/nope/b", "/proc takes no file"), ("/dev/null/x", "/dev/null is no folder")],
)
def test_an_output_that_cannot_be_written_is_refused(build, command_line, output, reason):
    result = build(command_line.target("tier"), output=output, arguments=["--json"])
    assert (result.code, result.json["error"]["code"]) == (6, "write-failed")
    assert reason in result.json["error"]["message"]


def test_a_junit_file_needs_a_folder_that_is_there(build, command_line):
    target, missing = command_line.target("tier"), command_line.folder / "no" / "such"
    for place, what in ((missing / "j.xml", "no folder"), (command_line.folder, "is a folder")):
        result = build(target, arguments=["--junit", place])
        assert (result.code, what in result.err) == (2, True)
    assert not missing.parent.exists()
    assert not (command_line.folder / "bundle").exists()


def test_a_page_needs_a_folder_that_is_there(build, command_line):
    assert build(command_line.target("tier")).code == 0
    bundle, missing = command_line.folder / "bundle", command_line.folder / "no" / "such"
    for place, what in ((missing / "r.html", "no folder"), (command_line.folder, "is a folder")):
        result = command_line("report", bundle, "--output", place)
        assert (result.code, what in result.err, "--output" in result.err) == (2, True, True)
        result = command_line("inspect", bundle, "--layers", "--html", place)
        assert (result.code, what in result.err, "--html" in result.err) == (2, True, True)
    assert not missing.parent.exists()
    page = command_line.folder / "r.html"
    assert command_line("report", bundle, "--output", page).code == 0
    assert page.exists()


def test_a_page_is_tried_before_it_is_made(build, command_line):
    """``/proc`` may be written by its permissions, and takes no file."""
    assert build(command_line.target("tier")).code == 0
    bundle = command_line.folder / "bundle"
    for command in (("report", bundle, "--output"), ("inspect", bundle, "--layers", "--html")):
        result = command_line(*command, "/proc/x.html")
        assert (result.code, "/proc/x.html could not be written" in result.err) == (6, True)


def test_a_bundle_is_inspected_by_target(build, command_line):
    assert build(command_line.target("tier"), command_line.target("other")).code == 0
    result = command_line("inspect", command_line.folder / "bundle")
    assert (result.code, "give --target; this bundle has: other, tier" in result.err) == (2, True)
