"""The decoder of the examples: a cache in states, and the same tokens from every float32 file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import mobilesdk
from examples import decoder
from mobilesdk.bundle.manifest import ModelEntry, Variant
from tests.end_to_end.decoder_worker import greedy

pytestmark = pytest.mark.slow

EXPORTS = {
    "coreml": 'format = "coreml"\ndeployment_target = "iOS18"\ncompute_precision = "float32"\n',
    "executorch": 'format = "executorch"\nfallback = { max_ops = 99, reason = "a test" }\n',
    "litert": 'format = "litert"\n',
}
DEVICES = {"coreml": ("ios", "18.0", "neural_engine")}
PROFILE = """schema_version = 1
title = "float32"
[budget.any]
min_sqnr_db = 50.0 # states of Core ML are float16: 69 dB
[budget.tokens]
min_top1_agreement = 0.99
"""
TOKEN_COUNT = 32
PROMPTS = ([1, 2, 3, 4], [200])  # the second sequence begins with what the first one left
CACHES = {f"layers_{layer}_attention_{what}" for layer in range(4) for what in ("keys", "values")}


def write_target(folder: Path, name: str, export: str) -> Path:
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / "profiles/float32.toml").write_text(PROFILE)
    platform, min_os, accelerator = DEVICES.get(name, ("android", "8.0", "xnnpack"))
    path = folder / f"{name}.toml"
    path.write_text(
        f'schema_version = 1\nid = "{name}"\ntitle = "a target"\n'
        f'[device]\nplatform = "{platform}"\nmin_os = "{min_os}"\naccelerator = "{accelerator}"\n'
        f'[match]\npriority = {list(EXPORTS).index(name)}\nany = [{{ os_min = "{min_os}" }}]\n'
        f'[export]\n{export}[profiles]\ndefault = "float32"\n'
    )
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelEntry]:
    folder = tmp_path_factory.mktemp("decoder")
    decoder.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        built = mobilesdk.build(
            f"{decoder.__file__}:build",
            evaluation=folder / "evaluation.npz",
            targets=[write_target(folder, name, export) for name, export in EXPORTS.items()],
            output=folder / "bundle",
        )
    (model,) = built.manifest.models
    return folder / "bundle", model


def variant_of(model: ModelEntry, name: str) -> Variant:
    return next(variant for variant in model.variants if variant.target == name)


def eager_step():
    module = decoder.build().module
    return lambda token, position: module(torch.tensor([[token]]), torch.tensor([position]))


@pytest.mark.parametrize("name", EXPORTS)
def test_32_greedy_tokens_are_those_of_eager_torch(bundle, name):
    folder, model = bundle
    variant = variant_of(model, name)
    expected = [greedy(eager_step(), prompt, TOKEN_COUNT) for prompt in PROMPTS]
    assert all(len(set(tokens)) > 4 for tokens in expected)
    arguments = (name, folder / variant.artifact, json.dumps(PROMPTS), TOKEN_COUNT)
    worker = subprocess.run(  # toolchains must not meet in one process
        [sys.executable, "-m", "tests.end_to_end.decoder_worker", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=model.contract.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert worker.returncode == 0, worker.stderr
    assert json.loads(worker.stdout.splitlines()[-1]) == expected


@pytest.mark.parametrize("name", EXPORTS)
def test_variants_are_verified_over_sequences(bundle, name):
    _, model = bundle
    variant = variant_of(model, name)
    assert variant.verification in ("verified_by_reference", "verified_on_host")
    assert {gate.verdict for gate in variant.gates} == {"passed"}


def test_the_manifest_says_where_the_states_are(bundle):
    _, model = bundle
    assert {state.name for state in model.contract.states} == CACHES
    for name in ("coreml", "executorch"):
        assert set(variant_of(model, name).states) == CACHES
        assert set(variant_of(model, name).inputs) == {"token", "position"}
    litert = variant_of(model, "litert")
    assert set(litert.inputs) == {"token", "position"} | CACHES
    assert set(litert.outputs) == {"logits"} | {f"{cache}_next" for cache in CACHES}
