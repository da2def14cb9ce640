import os

import pytest

from mobilesdk.bundle.writing import write_file
from mobilesdk.errors import WriteFailed


def test_a_full_disk_is_a_write_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteFailed, match="No space left"):
        write_file(tmp_path / "file", b"content")
    assert not [*tmp_path.iterdir()]
