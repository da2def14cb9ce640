"""What every exporter, and the runtime of its format, has to hold to.

A new file in the folders is tested by itself.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from pydantic import ValidationError

from mobilesdk.plugins import PLUGIN_API, Exporter, discovery
from tests.apart import result_of

EXPORTERS = discovery.names(discovery.Kind.EXPORTERS)
HEADINGS = ("What it does", "When to use", "Cost", "Limits", "References")


@pytest.fixture(scope="module", params=EXPORTERS)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    return json.loads(result_of("-m", "tests.contract.exporter_worker", request.param, folder))


@pytest.mark.slow
def test_it_leaves_its_model_alone_and_writes_the_same_bytes_twice(seen: Any) -> None:
    assert not seen["model_changed"]
    assert seen["same_bytes"]
    assert seen["form"] == seen["inspected_format"] == seen["name"]
    assert len(set(seen["suffixes"])) == 1


@pytest.mark.slow
def test_it_expects_something_of_every_weight(seen: Any) -> None:
    assert len(seen["weights"]) == 2
    assert seen["expected"] == seen["weights"]
    assert seen["inspected"] >= len(seen["weights"])


@pytest.mark.slow
def test_a_session_keeps_to_the_contract(seen: Any) -> None:
    assert seen["outputs"] == {"scores": ["float32", [1, 4]]}
    assert not seen["input_changed"]
    assert seen["same_outputs"]
    assert seen["refused"] == "artifact-invalid"


@pytest.mark.parametrize("name", EXPORTERS)
def test_it_has_all_members_and_a_page(name: str) -> None:
    plugin, module = discovery.exporter(name), import_module(f"mobilesdk.exporters.{name}")
    assert isinstance(plugin, Exporter)
    assert plugin.suffix.startswith(".")
    assert plugin.tools
    assert module.plugin_api == PLUGIN_API
    assert [heading for heading in HEADINGS if heading not in (module.__doc__ or "")] == []


@pytest.mark.parametrize("name", EXPORTERS)
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        discovery.exporter(name).options.model_validate({"unknown_field": 1})
