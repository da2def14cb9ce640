from pathlib import Path

import pytest

from mobilesdk.errors import InvalidModel, StepFailed
from mobilesdk.pipeline import reading
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.launch import Limits, Workers
from mobilesdk.pipeline.reading import Dependencies, Reader
from mobilesdk.pipeline.request import single

FRONTEND = '''
"""A frontend that reads a text and a file of weights beside it."""
import hashlib, json
from pathlib import Path
from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Form
from mobilesdk.core.model import Model, ModelSummary

plugin_api = 1

class Text:
    tools = ()
    preloads = ()
    form = Form.EXPORTED_PROGRAM
    traits = frozenset()
    def claims(self, reference):
        return reference.endswith(":text")
    def read(self, model, context):
        source = Path(model.reference.rpartition(":")[0]).resolve()
        files = [source, source.with_suffix(".weights")]
        if model.weights is not None and source.read_text() != "careless":
            files.append(model.weights.absolute())
        entries = [
            {"path": str(f), "sha256": hashlib.sha256(f.read_bytes()).hexdigest()} for f in files
        ]
        if source.read_text() == "restless":
            source.write_text("changed while it was read")
        found = {"files": entries, "distributions": {"click": __import__("click").__version__}}
        (context.output / "dependencies.json").write_text(json.dumps(found))
        summary = ModelSummary(
            contract=Contract(inputs=(), outputs=()), family=source.read_text(),
            weights=(), op_counts={}, float_size_bytes=0,
        )
        (context.output / "summary.json").write_text(summary.model_dump_json())
        (context.output / "program.pt2").write_text("")
        return Model(form=self.form, path=context.output / "program.pt2")

PLUGIN = Text()
'''


@pytest.fixture
def read(tmp_path, stand_ins):
    """Read the text model; give what was read, and how many workers that took."""
    from mobilesdk.plugins import add_file

    plugin = tmp_path / "frontends" / "a_text.py"
    plugin.parent.mkdir()
    plugin.write_text(FRONTEND)
    add_file(plugin)
    (tmp_path / "net.py").write_text("first")
    (tmp_path / "net.weights").write_text("1 2 3")

    def read(folder=tmp_path, **options):
        events = []
        request = single(f"{folder / 'net.py'}:text", **options)
        with Workers(Limits(60, 4 << 30)) as workers:
            reader = Reader(Cache(tmp_path / "cache"), workers, events.append, (plugin,))
            found = reader.read(request)
        return found, sum(event.state == "finished" for event in events)

    return read


def test_a_model_is_read_again_only_when_something_changed(read, tmp_path, monkeypatch):
    first, count = read()
    assert (first.summary.family, count) == ("first", 1)
    assert read() == (first, 0)

    (tmp_path / "net.py").write_text("second")
    second, count = read()
    assert (second.summary.family, count) == ("second", 1)
    (tmp_path / "net.weights").write_text("4 5 6")
    third, count = read()
    assert count == 1
    assert len({first.key, second.key, third.key}) == 3
    assert len({first.sha256, second.sha256, third.sha256}) == 3

    (tmp_path / "net.py").write_text("first")
    (tmp_path / "net.weights").write_text("1 2 3")
    assert read() == (first, 0)  # the hash is of what it is made from now

    monkeypatch.setattr(reading, "version_of", lambda name: "0.0")
    with pytest.raises(InvalidModel, match="changed while it was read"):
        read()  # what the worker imported is not what is installed


def test_a_model_in_another_folder_has_the_same_key(read, tmp_path):
    (tmp_path / "copy").mkdir()
    first, _ = read()
    for name in ("net.py", "net.weights"):
        (tmp_path / "copy" / name).write_text((tmp_path / name).read_text())
    copy, _ = read(tmp_path / "copy")
    assert (copy.key, copy.sha256) == (first.key, first.sha256)


def test_a_state_file_is_part_of_the_key(read, tmp_path):
    state = tmp_path / "state.pt"
    state.write_text("7 8 9")
    without, _ = read()
    first, count = read(weights=state)
    assert (count, read(weights=state)) == (1, (first, 0))
    state.write_text("10 11 12")
    second, count = read(weights=state)
    assert count == 1
    assert len({without.key, first.key, second.key}) == 3
    assert len({without.sha256, first.sha256, second.sha256}) == 3
    moved = state.rename(tmp_path / "moved.pt")
    assert read(weights=moved)[0].key != second.key  # as of every file, its name counts
    assert read() == (without, 0)


def test_a_frontend_that_leaves_the_weights_out_is_told(read, tmp_path):
    (tmp_path / "net.py").write_text("careless")
    (tmp_path / "state.pt").write_text("7 8 9")
    with pytest.raises(StepFailed, match=r"without .*state\.pt"):
        read(weights=tmp_path / "state.pt")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", None])
def test_a_damaged_record_is_made_again(read, tmp_path, content):
    first, _ = read()
    (index,) = (tmp_path / "cache" / "references").iterdir()
    if content is None:
        index.unlink()
    else:
        index.write_bytes(content)
    assert read() == (first, 1)


def test_a_file_that_changes_while_it_is_read_is_told(read, tmp_path):
    (tmp_path / "net.py").write_text("restless")
    with pytest.raises(InvalidModel, match="changed while it was read"):
        read()


def test_a_vanished_file_leaves_nothing_to_compare(tmp_path):
    (tmp_path / "a").write_text("a")
    made_from = Dependencies.model_validate(
        {"files": [{"path": tmp_path / "a", "sha256": "0"}], "distributions": {}}
    )
    assert made_from.now() not in (None, made_from)
    (tmp_path / "a").unlink()
    assert made_from.now() is None


def test_files_of_one_name_that_change_places_are_another_model(tmp_path):
    def made_from(encoder, decoder):
        for folder, text in (("encoder", encoder), ("decoder", decoder)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "weights.bin").write_text(text)
        files = [
            {"path": str(tmp_path / folder / "weights.bin"), "sha256": text * 64}
            for folder, text in (("encoder", encoder), ("decoder", decoder))
        ]
        return Dependencies.model_validate({"files": files, "distributions": {}}).portable()

    assert made_from("a", "b") != made_from("b", "a")
    assert str(tmp_path) not in str(made_from("a", "b"))


def test_a_model_in_another_folder_that_shares_a_file_with_others_is_the_same_model():
    def made_from(*paths):
        files = [{"path": path, "sha256": Path(path).suffix * 16} for path in paths]
        return Dependencies.model_validate({"files": files, "distributions": {}}).portable()

    here = made_from("/one/net.py", "/shared/weights.bin")
    assert here == made_from("/another/place/net.py", "/shared/weights.bin")
    assert here != made_from("/one/net.py", "/shared/weights2.bin")
