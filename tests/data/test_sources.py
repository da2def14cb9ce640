"""The digest of a function changes with all that it is made from, and nothing is run for it."""

import pytest

from mobilesdk.data.sources import source_digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {
        "metric.py": "import numpy\nimport near\nfrom pack import part\n",
        "near.py": "import json\nfrom far import thing\n",
        "far.py": "thing = 1\n",
        "other.py": "x = 1\n",
        "pack/__init__.py": "",
        "pack/part.py": "from . import sub\nfrom .sub import y\n",
        "pack/sub.py": "y = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"raise RuntimeError('this must not run')\n{text}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("metric.py", True),
        ("near.py", True),
        ("far.py", True),
        ("pack/__init__.py", True),
        ("pack/part.py", True),
        ("pack/sub.py", True),
        ("other.py", False),
    ],
)
@pytest.mark.parametrize("reference", ["metric.py:f", "metric:f"])
def test_what_is_imported_counts_and_nothing_else(folder, reference, name, counts):
    before = source_digest(reference)
    assert before == source_digest(reference)
    path = folder / name
    path.write_text(path.read_text() + "# changed\n")
    assert (source_digest(reference) != before) is counts


def test_the_name_counts_and_the_place_does_not(folder, tmp_path_factory):
    before = source_digest("metric.py:f")
    assert source_digest("metric.py:g") != before
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "there")
    assert source_digest(f"{moved / 'metric.py'}:f") == before


def test_a_module_of_a_package_is_found_by_its_full_name(folder):
    before = source_digest("pack.part:f")
    (folder / "pack" / "__init__.py").write_text("# changed\n")
    assert source_digest("pack.part:f") != before


@pytest.mark.parametrize(
    "reference", ["nowhere.py:f", "no_such_module:f", "pack.nothing:f", "metric.py", "", ":f"]
)
def test_what_is_not_there_has_no_digest(folder, reference):
    assert source_digest(reference) is None


def test_the_version_of_a_distribution_counts(folder, monkeypatch):
    before = source_digest("metric.py:f")
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0")
    assert source_digest("metric.py:f") != before


def test_a_file_that_is_no_python_has_a_digest_all_the_same(folder):
    (folder / "metric.py").write_text("def (")
    assert source_digest("metric.py:f") is not None
