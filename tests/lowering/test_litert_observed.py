"""Values inside of branches and loops cannot be seen, which is said and is no fault of the file."""

from types import SimpleNamespace

import pytest

from mobilesdk.errors import UsageError
from mobilesdk.lowering.litert import observed


@pytest.mark.parametrize(("count", "refused"), [(1, False), (2, True)])
def test_a_file_with_several_subgraphs_cannot_be_seen(monkeypatch, tmp_path, count, refused):
    subgraph = SimpleNamespace(operators=(), tensors=(), inputs=(), outputs=())
    model = SimpleNamespace(subgraphs=[subgraph] * count)
    monkeypatch.setattr(observed, "read_tflite", lambda _path: model)

    def observe():
        return observed.ObservedFile(tmp_path / "m.tflite", None, lambda _inputs: None, {})

    if not refused:
        assert observe()
        return
    with pytest.raises(UsageError, match="2 subgraphs; values inside of branches"):
        observe()
