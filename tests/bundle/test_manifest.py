import json

import pytest

from mobilesdk.bundle.canonical import canonical_json
from mobilesdk.bundle.manifest import FileEntry, Manifest, read_manifest, resolve
from mobilesdk.errors import FileRejected


def write(folder, **changes):
    manifest = Manifest(mobilesdk_version="1", releasable=False, models=(), files=())
    data = manifest.model_dump(mode="json") | changes
    (folder / "manifest.json").write_bytes(canonical_json(data))


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    entry = FileEntry(path="a", role="record", size_bytes=1, sha256="0" * 64)
    write(tmp_path, files=[entry.model_dump(mode="json")])
    assert read_manifest(tmp_path).files == (entry,)


def test_optional_fields_of_a_newer_minor_version_are_kept_apart(tmp_path):
    write(tmp_path, schema_version="1.9", note="from the future")
    manifest = read_manifest(tmp_path)
    assert manifest.extensions == {"note": "from the future"}
    assert json.loads(canonical_json(manifest.model_dump(mode="json")))["extensions"]


def test_a_newer_major_version_is_rejected(tmp_path):
    write(tmp_path, schema_version="2.0")
    with pytest.raises(FileRejected, match=r"schema_version 2\.0"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"schema_version": "1.0"}', b"\xff"])
def test_what_is_no_manifest_is_rejected(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FileRejected):
        read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "a/../../outside", "a\\b", ""])
def test_a_path_that_leaves_the_bundle_is_rejected(tmp_path, path):
    with pytest.raises(FileRejected):
        resolve(tmp_path, path)


def test_a_path_through_a_link_is_rejected(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "link").symlink_to(tmp_path)
    with pytest.raises(FileRejected, match="link"):
        resolve(tmp_path / "bundle", "link/file")
