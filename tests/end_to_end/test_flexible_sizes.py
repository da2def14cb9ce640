"""Models of which a size differs from call to call, built and judged at all their sizes."""

from __future__ import annotations

from pathlib import Path

import pytest

import mobilesdk
from mobilesdk.bundle.manifest import ModelEntry
from mobilesdk.core.flexibility import Flexibility
from tests import flexible

pytestmark = pytest.mark.slow

STATIC = '[[compress]]\nmethod = "quantize_static"\nactivations = { bits = 8 }\n'
PROFILES = {
    "float32": "",
    "weights": '[[compress]]\nmethod = "quantize_weights"\n',
    "dynamic": '[[compress]]\nmethod = "quantize_dynamic"\n',
    "static": STATIC,
}
CPU, PHONE = ("android", "8.0", "xnnpack"), ("ios", "18.0", "neural_engine")
XNNPACK = 'format = "executorch"\nfallback = { max_ops = 40, reason = "a test" }\n'
LITERT = 'format = "litert"\n'
COREML = 'format = "coreml"\ndeployment_target = "iOS18"\ncompute_precision = "float32"\n'
# Model → target → device, export, profile.
BUILDS = {
    "texts": {
        "range": (PHONE, COREML, "weights"),
        "bound": (CPU, XNNPACK, "dynamic"),
        "uncompressed": (CPU, XNNPACK, "float32"),
    },
    "images": {"range": (PHONE, COREML, "static"), "bound": (CPU, XNNPACK, "static")},
    "listed": {
        "list": (PHONE, COREML, "float32"),
        "signatures": (CPU, LITERT, "static"),
    },
    "listed_texts": {
        "list": (PHONE, COREML, "weights"),
        "signatures": (CPU, LITERT, "dynamic"),
    },
    "any_length": {"range": (PHONE, COREML, "weights"), "bound": (CPU, XNNPACK, "dynamic")},
    "listed_lengths": {
        "list": (PHONE, COREML, "float32"),
        "signatures": (CPU, LITERT, "dynamic"),
    },
}
BERT = ("any_length", "listed_lengths")


def write_target(folder: Path, name: str, device, export: str, profile: str) -> Path:
    (folder / "profiles").mkdir(exist_ok=True)
    (folder / f"profiles/{profile}.toml").write_text(
        f'schema_version = 1\ntitle = "{profile}"\n{PROFILES[profile]}'
        f"[budget.any]\nmin_sqnr_db = {100 if profile == 'float32' else 20}.0\n"
    )
    platform, min_os, accelerator = device
    path = folder / f"{name}.toml"
    path.write_text(
        f'schema_version = 1\nid = "{name}"\ntitle = "a target"\n'
        f'[device]\nplatform = "{platform}"\nmin_os = "{min_os}"\naccelerator = "{accelerator}"\n'
        f'[match]\npriority = {len(name)}\nany = [{{ os_min = "{min_os}" }}]\n'
        f'[export]\n{export}[profiles]\ndefault = "{profile}"\n'
    )
    return path


@pytest.fixture(scope="module", params=BUILDS)
def built(request, tmp_path_factory) -> tuple[str, Path, ModelEntry]:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    file = Path(flexible.__file__)
    sets = f"{file}:image_" if name in ("images", "listed") else f"{file}:"
    if name in BERT:
        file, sets = file.with_name("bert.py"), f"{file.with_name('bert_texts.py')}:"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        result = mobilesdk.build(
            f"{file}:{name}",
            calibration=f"{sets}calibration",
            evaluation=f"{sets}evaluation",
            targets=[write_target(folder, *each) for each in _targets(name)],
            output=folder / "bundle",
        )
    (model,) = result.manifest.models
    return name, folder / "bundle", model


def _targets(name):
    return [(target, *given) for target, given in BUILDS[name].items()]


SIZES = {
    "texts": {"length=12", "length=3", "length=13", "length=24"},
    "images": {
        f"height={h},width={w}"
        for h, w in ((32, 32), (16, 20), (32, 30), (48, 40), (16, 40), (48, 20))
    },
    "any_length": {"length=64", "length=8", "length=40", "length=72"},
    "listed_lengths": {"length=64", "length=16", "length=80"},
    "listed_texts": {"length=6", "length=12", "length=20"},
    "listed": {"side=16", "side=32", "side=48"},
}


def test_every_artifact_is_judged_at_all_sizes(built):
    name, _, model = built
    assert {variant.target for variant in model.variants} == set(BUILDS[name])
    for variant in model.variants:
        assert variant.verification in ("verified_by_reference", "verified_on_host")
        assert {gate.verdict for gate in variant.gates} == {"passed"}
        assert {gate.at for gate in variant.gates} == {"", *SIZES[name]}


def test_the_manifest_tells_the_sizes_of_every_port(built):
    name, _, model = built
    ports = {variant.target: variant.inputs for variant in model.variants}
    if name == "texts":
        ranges = Flexibility(ranges=((1, 1), (3, 24)))
        assert {port.flexibility for port in ports["range"].values()} == {ranges}
        assert ports["bound"]["ids"].flexibility.highest == (1, 24)
    elif name == "any_length":
        ranges = Flexibility(ranges=((1, 1), (8, 72)))
        assert {port.flexibility for port in ports["range"].values()} == {ranges}
        assert ports["bound"]["ids"].flexibility.highest == (1, 72)
    elif name.startswith("listed"):
        sizes = {"listed": (16, 32, 48), "listed_texts": (6, 12, 20)}.get(name, (16, 64, 80))
        for inputs in ports.values():
            for port in inputs.values():
                assert sorted(shape[-1] for shape in port.flexibility.shapes) == [*sizes]
    else:
        assert ports["range"]["image"].flexibility.ranges[2:] == ((16, 48), (20, 40))
        assert ports["bound"]["image"].flexibility.highest == (1, 3, 48, 40)


def test_the_bundle_replays_the_goldens_of_all_sizes(built, monkeypatch, tmp_path):
    name, folder, model = built
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = mobilesdk.verify(folder)
    details = [check.detail for check in result.checks if check.name == "goldens"]
    assert len(details) == len(model.variants)
    count = 4 * len(SIZES[name])
    assert all(f"{count} samples" in detail for detail in details), details
