"""Ten kills at random instants; `make stress` has two hundred, with real toolchains."""

import pytest

from tests.conftest import STAND_INS, build_arguments
from tests.stress.killing import Case, trial, undisturbed


@pytest.fixture
def case(command_line, own_cache, sets):
    """A build of a file and a folder, with the model read and its sets prepared."""
    steps = [{"method": "fault", "note": "kills"}]
    targets = [
        command_line.target(name, profile="kills", compress=steps, store=name)
        for name in ("file", "folder")
    ]
    arguments = build_arguments(sets, targets, "")[:-2]
    folder = command_line.folder / "killed"
    return Case(tuple(map(str, arguments)), folder, STAND_INS, own_cache)


def test_builds_that_are_killed_at_random_instants_resume_to_the_same_bytes(case):
    before = undisturbed(case)
    found = []
    for number in range(40):
        found += filter(None, [trial(case, before, number)])
        if len(found) == 10:
            break
    assert [(each.number, each.victim, each.faults) for each in found if each.faults] == []
    assert len(found) == 10
    assert {each.victim for each in found} == {"command", "template", "worker"}


def test_what_is_damaged_is_found(case, monkeypatch):
    """The control: a bundle that was half written, as an interrupted copy leaves it."""
    before = undisturbed(case)

    def damage(process, mark, chance, found):
        process.wait()
        manifest = case.folder / "bundles" / "bundle" / "manifest.json"
        manifest.write_bytes(manifest.read_bytes()[:-100])
        return True

    monkeypatch.setattr("tests.stress.killing._kill", damage)
    victims = ("worker",)
    results = (trial(case, before, number, victims=victims) for number in range(40))
    found = next(result for result in results if result is not None)
    assert "corrupt bundle" in found.faults[0]
