"""Rows that take a build: what it stands, and what only a worker can tell."""

import json
import shutil

from mobilesdk.bundle.manifest import read_manifest
from tests.conftest import PLUGINS

from .table import ROWS

ASKING = """
def build():
    for _ in range(20_000):
        print("x" * 200)
    input("Which weights? ")
"""
TESTED = ("names-anywhere", "cache-damaged", "disk-small-for-the-model", "factory-asks")


def test_names_may_have_any_letters(build, command_line, shared_cache, sets, monkeypatch):
    assert ROWS["names-anywhere"].code == "works"
    folder = command_line.folder / "größe und 寸法"
    folder.mkdir()
    shared_cache.mkdir(exist_ok=True)
    (folder / "кэш").symlink_to(shared_cache)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "кэш"))
    given = [
        shutil.copy(sets / f"{name}.npz", folder / f"{name} é.npz")
        for name in ("calibration", "evaluation")
    ]
    arguments = ["--calibration", given[0], "--evaluation", given[1], "--json"]
    result = build(command_line.target("tier"), output=folder / "Bündel", arguments=arguments)
    assert result.code == 0, result.err
    assert json.loads(result.out)["output"] == str(folder / "Bündel")
    assert command_line("verify", folder / "Bündel", *plugins()).code == 0


def test_a_damaged_result_in_the_cache_is_made_again(build, command_line, own_cache, monkeypatch):
    assert ROWS["cache-damaged"].code == "works"
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    target = command_line.target("tier", padding_bytes=13)
    assert build(target).code == 0
    before = read_manifest(command_line.folder / "bundle")
    artifacts = [*own_cache.glob("mobilesdk/steps/*/*/model.plain")]
    files = [path for path in artifacts if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(b"damaged")
    assert build(target, output="again").code == 0
    assert read_manifest(command_line.folder / "again") == before


def test_a_disk_without_room_for_the_model_is_told_before_it_is_compressed(
    build, command_line, monkeypatch
):
    class Disk:
        free = 59  # a bundle of 15 weights in float32 takes 60 bytes

    target = command_line.target("tier")
    assert build(target, output="before").code == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk)
    result = build(target, arguments=["--json"])
    ROWS["disk-small-for-the-model"].check(
        result.json["error"]["code"], result.code, result.json["error"]["message"]
    )
    assert not (command_line.folder / "bundle").exists()
    Disk.free = 60
    assert build(target).code == 0


def test_a_factory_that_asks_gets_no_answer(command_line):
    (command_line.folder / "asking.py").write_text(ASKING)
    result = command_line("plan", command_line.folder / "asking.py:build", "--json")
    error = result.json["error"]
    ROWS["factory-asks"].check(error["code"], result.code, result.err)
    assert error["line"] == 5
    assert len(result.err) < 10_000


def plugins():
    return [part for plugin in PLUGINS for part in ("--plugin", plugin)]
