import shutil

import pytest

from mobilesdk.errors import InvalidTarget
from mobilesdk.targets import check_files, load_targets, shipped_folder


@pytest.fixture
def copy(tmp_path):
    """Copy a shipped target under another name, with another priority if one is given."""

    def write(shipped, name, priority=None):
        text = (shipped_folder() / f"{shipped}.toml").read_text()
        text = text.replace(f'id = "{shipped}"', f'id = "{name}"')
        if priority is not None:
            lines = [
                f"priority = {priority}" if line.startswith("priority = ") else line
                for line in text.splitlines()
            ]
            text = "\n".join(lines)
        (tmp_path / f"{name}.toml").write_text(text)
        return tmp_path / f"{name}.toml"

    return write


def line_of(path):
    (line,) = (
        number
        for number, text in enumerate(path.read_text().splitlines(), start=1)
        if text.startswith("priority = ")
    )
    return line


def test_a_priority_of_a_shipped_target_is_a_fault_at_its_line(copy):
    path = copy("android-gpu", "my-phone")
    (fault,) = check_files([path])
    assert (fault.path, fault.line, fault.key) == (path, line_of(path), "match.priority")
    assert fault.message == "60 is the priority of android-gpu too"
    assert "61 is free" in fault.hint


def test_the_free_priority_that_is_named_is_free(copy):
    first, second = copy("android-gpu", "first", 500), copy("android-gpu", "second", 500)
    copy("android-gpu", "third", 501)
    faults = check_files([first.parent])
    assert [(fault.path, fault.message) for fault in faults] == [
        (first, "500 is the priority of second too"),
        (second, "500 is the priority of first too"),
    ]
    assert all("502 is free" in fault.hint for fault in faults)


def test_other_platforms_other_ranks_and_the_same_target_do_not_clash(copy, tmp_path):
    copy("android-gpu", "my-phone", 90)  # of apple-ane-high, which is another platform's
    shutil.copy(shipped_folder() / "android-npu.toml", tmp_path)
    assert check_files([tmp_path]) == []
    assert check_files([shipped_folder()]) == []


def test_a_file_that_is_given_twice_does_not_clash_with_itself(copy):
    path = copy("android-gpu", "my-phone", 500)
    assert check_files([path, path.parent]) == []


def test_a_folder_whose_targets_clash_is_not_loaded(copy):
    path = copy("android-gpu", "first", 500)
    copy("apple-ane", "second", 500)
    assert len(load_targets(str(path.parent))) == 2
    copy("android-npu", "third", 500)
    with pytest.raises(InvalidTarget, match=r"first.toml:\d+: match.priority: 500 is") as caught:
        load_targets(str(path.parent))
    assert "third.toml" in str(caught.value)


def test_the_command_refuses_it(command_line, copy):
    path = copy("android-gpu", "my-phone")
    result = command_line("targets", "--check", path)
    assert result.code == 2
    assert f"my-phone.toml:{line_of(path)}: match.priority: 60 is the priority of" in result.out


def test_a_build_of_targets_that_clash_is_refused(build, copy):
    result = build(copy("android-gpu", "my-phone"), "android-gpu", "android-npu")
    assert result.code == 2
    assert "my-phone.toml:" in result.err
    assert "android-gpu.toml:" in result.err
    assert "60 is the priority of my-phone too" in result.err
    assert "android-npu" not in result.err
