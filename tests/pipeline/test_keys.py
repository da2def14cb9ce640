import importlib.metadata

import pytest

from mobilesdk.pipeline import keys
from mobilesdk.pipeline.job import TaskKind
from mobilesdk.pipeline.keys import content_digest, step_key
from mobilesdk.plugins import Kind, Tool, discovery, exporter

NUMPY = (Tool(distribution="numpy", extra="torch"),)
CACHED = (
    keys._digest_of_layer,
    keys.version_of,
    keys.instruction_set,
)


@pytest.fixture(autouse=True)
def _nothing_remembered():
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


def forget():
    for function in CACHED:
        function.cache_clear()


def key(**changes):
    arguments = {
        "plugin_kind": Kind.COMPRESSORS,
        "plugin": "fp16",
        "config": {"bits": 8},
        "inputs": {"model": "a"},
        "tools": NUMPY,
    }
    return step_key(TaskKind.COMPRESS, **(arguments | changes))


def test_the_same_step_has_the_same_key():
    assert key() == key()
    assert key(config={"a": 1, "b": 2}) == key(config={"b": 2, "a": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"bits": 4}},
        {"inputs": {"model": "b"}},
        {"inputs": {"model": "a", "calibration": "c"}},
        {"plugin": "sparsify"},
        {"tools": (*NUMPY, Tool(distribution="click", extra="torch"))},
    ],
)
def test_whatever_may_change_the_result_changes_the_key(changes):
    assert key(**changes) != key()


def test_the_version_of_a_tool_changes_the_key(monkeypatch):
    before = key()
    forget()
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99" if name == "numpy" else real(name)
    )
    assert key() != before


def test_the_source_of_a_plugin_changes_the_key(tmp_path, stand_ins):
    path = tmp_path / "compressors" / "mine.py"
    path.parent.mkdir()
    path.write_text("plugin_api = 1\n")
    discovery.add_file(path)
    before = key(plugin="mine")
    path.write_text("plugin_api = 1  # another version\n")
    assert key(plugin="mine") != before


def test_the_source_of_a_layer_below_changes_the_key(monkeypatch, tmp_path):
    before = key()
    forget()
    monkeypatch.setattr(keys, "_digest_of_layer", lambda name: f"another {name}")
    assert key() != before


def test_the_instruction_set_changes_the_key(monkeypatch):
    before = key()
    monkeypatch.setattr(keys, "instruction_set", lambda: "another")
    assert key() != before


@pytest.mark.parametrize("name", ["THREADS", "SEED"])
def test_threads_and_seed_change_the_key(monkeypatch, name):
    before = key()
    monkeypatch.setattr(keys, name, 7)
    assert key() != before


def test_whatever_an_exporter_imports_is_among_its_tools():
    assert {"executorch", "torchao"} <= {tool.distribution for tool in exporter("executorch").tools}


def test_a_set_is_known_by_names_and_bytes_and_not_by_its_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.png").write_bytes(b"a")
    one, two = tmp_path / "one", tmp_path / "two"
    assert content_digest(one) == content_digest(two)
    (two / "sub" / "a.png").write_bytes(b"b")
    assert content_digest(one) != content_digest(two)
    (two / "sub" / "a.png").rename(two / "sub" / "b.png")
    (two / "sub" / "b.png").write_bytes(b"a")
    assert content_digest(one) != content_digest(two)
    assert content_digest(one / "sub" / "a.png") == content_digest(two / "sub" / "b.png")


def test_a_link_in_a_set_counts_as_the_file_that_it_leads_to(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "file").write_bytes(b"a")
    empty = content_digest(tmp_path / "set")
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "file")
    linked = content_digest(tmp_path / "set")
    (tmp_path / "file").write_bytes(b"b")
    assert len({empty, linked, content_digest(tmp_path / "set")}) == 3


def test_what_a_link_to_a_folder_leads_to_is_part_of_the_content(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"1")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "set" / "circle").symlink_to(".")
    before = content_digest(tmp_path / "set")
    (tmp_path / "photos" / "a.png").write_bytes(b"2")
    changed = content_digest(tmp_path / "set")
    (tmp_path / "set" / "lost").symlink_to("nowhere")
    assert len({before, changed, content_digest(tmp_path / "set")}) == 3
