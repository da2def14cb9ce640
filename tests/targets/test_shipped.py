"""The shipped files: all load, agree with each other, and come with current schemas."""

import itertools
import subprocess
import sys
import tomllib

import pytest

from mobilesdk.targets import check_file, load_profile, load_target, shipped, shipped_folder
from mobilesdk.targets.__main__ import schema_files

FOLDER = shipped_folder()
FILES = sorted([*FOLDER.glob("*.toml"), *FOLDER.glob("profiles/*.toml")])
TIERS = {
    "android-gpu",
    "android-low-end",
    "android-nnapi",
    "android-npu",
    "android-xnnpack",
    "android-xnnpack-litert",
    "apple-ane",
    "apple-ane-high",
    "apple-coreai",
    "apple-coreai-high",
    "apple-legacy",
    "ios-executorch",
}


def test_every_tier_is_there():
    assert set(shipped()) == TIERS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_without_fault_and_names_its_schema(path):
    assert [str(fault) for fault in check_file(path)] == []
    assert path.read_text().startswith("#:schema ./schema.json\n")


@pytest.mark.parametrize("name", sorted(TIERS))
def test_every_profile_that_a_target_names_fits_the_classes_of_its_plugins(name):
    target = load_target(name)
    assert target.export.typed_options().model_dump(mode="json") == target.export.options
    for profile_name in target.profiles.named().values():
        for step in load_profile(profile_name).compress:
            assert step.typed_config().model_dump(mode="json") == step.config


@pytest.mark.parametrize("name", sorted(TIERS))
def test_every_tier_has_something_for_vision_and_a_word_on_transformers(name):
    target = load_target(name)
    assert isinstance(target.profile_for("vision"), str)
    assert target.profile_for("transformer")


def test_no_more_may_stay_outside_a_delegate_than_was_measured():
    allowed = {
        name: target.export.fallback.max_ops
        for name in shipped()
        if (target := load_target(name)).export.fallback != "forbid"
    }
    assert allowed == {"android-xnnpack": 25}


def test_no_two_targets_of_a_platform_have_the_same_priority():
    targets = [load_target(name) for name in shipped()]
    for platform in ("android", "ios"):
        ranks = [t.match.priority for t in targets if t.device.platform == platform]
        assert len(ranks) == len(set(ranks))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_limit_says_where_it_comes_from(path):
    """A comment stands near each number that is a limit: in a target a source, too."""
    text = path.read_text()
    if path.parent == FOLDER:
        assert "https://" in text
    else:
        assert "#" in text.split("[budget.any]")[1]


@pytest.mark.parametrize(
    "schema", schema_files(FOLDER).items(), ids=lambda item: item[0].parent.name
)
def test_the_schemas_are_current(schema):
    path, text = schema
    assert path.read_text() == text, "run python -m mobilesdk.targets"


def test_the_schemas_know_every_key_of_the_shipped_files():
    """A small check by hand, so that no validator has to be installed."""
    schemas = {path.parent.name: text for path, text in schema_files(FOLDER).items()}
    for path in FILES:
        document = tomllib.loads(path.read_text())
        for key in keys_of(document):
            assert f'"{key}"' in schemas[path.parent.name], (path, key)


def keys_of(value):
    if isinstance(value, dict):
        return itertools.chain(value, *(keys_of(inner) for inner in value.values()))
    if isinstance(value, list):
        return itertools.chain(*(keys_of(inner) for inner in value))
    return iter(())


def test_no_toolchain_is_imported_to_load_them_all():
    script = """
import sys
from mobilesdk.targets import load_targets, schemas
load_targets()
schemas()
print(sorted({"torch", "tensorflow", "coremltools", "executorch"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
