import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph import archive
from mobilesdk.graph.archive import checked_entries


def write(path, *entries):
    with zipfile.ZipFile(path, "w") as file:
        for entry in entries:
            name, content = entry if isinstance(entry, tuple) else (entry, b"content")
            file.writestr(name, content)
    return path


def with_mode(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_entries_come_by_name_and_folders_are_left_out(tmp_path):
    path = write(tmp_path / "a.zip", "model/data.bin", "model/sub/", ("a..b", b""))
    found = checked_entries(path)
    assert {name: entry.file_size for name, entry in found.items()} == {
        "model/data.bin": 7,
        "a..b": 0,
    }


BAD_ENTRIES = {
    "parent": ("../evil", "leads outside"),
    "parent inside": ("model/../../evil", "leads outside"),
    "absolute": ("/etc/evil", "no relative path"),
    "backslash": ("..\\evil", "no relative path"),
    "drive": ("C:/evil", "no relative path"),
    "link": (with_mode("link", stat.S_IFLNK | 0o777), "link or a device"),
    "pipe": (with_mode("pipe", stat.S_IFIFO | 0o666), "link or a device"),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_an_entry_that_leads_elsewhere_is_refused(tmp_path, name):
    entry, reason = BAD_ENTRIES[name]
    with pytest.raises(FileRejected, match=reason):
        checked_entries(write(tmp_path / "a.zip", "good", entry))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(FileRejected, match="'a' stands there twice"):
        checked_entries(write(tmp_path / "a.zip", "a", "b", "a"))


def test_other_compression_and_encryption_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a", b"a" * 100)
    with pytest.raises(FileRejected, match="method 12"):
        checked_entries(path)
    content = bytearray(write(path, "a").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(FileRejected, match="encrypted"):
        checked_entries(path)


def test_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1 << 20))
    assert checked_entries(path)  # so small that it does no harm
    monkeypatch.setattr(archive, "_SMALL_BYTES", 1 << 19)
    with pytest.raises(FileRejected, match="archive bomb"):
        checked_entries(path)
    monkeypatch.setattr(archive, "MAX_TOTAL_BYTES", 1 << 19)
    with pytest.raises(FileRejected, match="at most 524288"):
        checked_entries(path)
    monkeypatch.setattr(archive, "MAX_ENTRIES", 2)
    with pytest.raises(FileRejected, match="3 entries"):
        checked_entries(write(path, "a", "b", "c"))


def test_a_size_that_is_a_lie_is_not_unpacked(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(1 << 20))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    entry = checked_entries(path)["zeros"]
    with zipfile.ZipFile(path) as file, pytest.raises(zipfile.BadZipFile):
        assert len(file.read(entry)) <= 10


@given(st.binary(max_size=200), st.integers(0, 400))
def test_a_damaged_archive_is_refused_or_read(tmp_path_factory, noise, place):
    path = write(tmp_path_factory.mktemp("noise") / "a.zip", "one", "two/three")
    content = bytearray(path.read_bytes())
    content[place : place + len(noise)] = noise
    path.write_bytes(content)
    try:
        found = checked_entries(path)
    except (FileRejected, InvalidModel):
        return
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in found)
