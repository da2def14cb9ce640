import json
import os
import subprocess
import sys

from mobilesdk.bundle.canonical import tree_hash
from tests.conftest import STAND_INS, build_arguments


def test_eight_builds_at_once_give_the_same_bytes_and_make_each_step_once(
    command_line, own_cache, sets
):
    note = command_line.folder / "note"
    steps = [{"method": "fault", "note": str(note)}]
    targets = [
        command_line.target(name, profile="shared", compress=steps, store=name)
        for name in ("file", "folder")
    ]
    bundles = [command_line.folder / f"bundle{number}" for number in range(8)]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "mobilesdk"),
                *map(str, build_arguments(sets, targets, bundle)),
                "--json",
            ],
            cwd=STAND_INS,
            env=os.environ | {"XDG_CACHE_HOME": str(own_cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for bundle in bundles
    ]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, results
    assert len({tree_hash(bundle) for bundle in bundles}) == 1
    assert note.read_text() == "made\n"
    made = [
        (step["step"], *step["targets"])
        for out, _ in results
        for step in json.loads(out)["costs"]["steps"]
        if step["usage"] is not None
    ]
    assert sorted(made) == [
        ("export plain", "file"),
        ("export plain", "folder"),
        ("fault", "file", "folder"),
        ("verify", "file"),
        ("verify", "folder"),
    ]
