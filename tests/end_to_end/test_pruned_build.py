"""A pruned network in two formats, from the command to the bundle."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest

from mobilesdk.bundle.canonical import tree_hash
from mobilesdk.bundle.manifest import Variant, read_manifest
from mobilesdk.core.layers import LayerReport
from mobilesdk.core.ledger import Ledger
from mobilesdk.core.structure import StructureRecord

pytestmark = pytest.mark.slow

NETWORK = """
import torch
from mobilesdk import ArrayInput, ModelSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.expand = torch.nn.Conv2d(16, 64, 1)
        self.depthwise = torch.nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.project = torch.nn.Conv2d(64, 16, 1)
        self.head = torch.nn.Linear(16 * 16, 10)

    def forward(self, x):
        x = self.stem(x).relu()
        y = torch.nn.functional.relu6(self.expand(x))
        y = torch.nn.functional.relu6(self.depthwise(y))
        return self.head(torch.nn.functional.avg_pool2d(x + self.project(y), 2).flatten(1))

def build():
    return ModelSpec(
        Net().eval(),
        (torch.zeros(1, 3, 16, 16),),
        inputs={"x": ArrayInput()},
        outputs={"scores": "embedding"},
    )
"""
STEPS = (
    {"method": "prune_channels", "ratio": 0.25, "keep": ["stem.*", "project.*"]},
    {"method": "quantize_static"},
)
BUDGET = "[budget.any]\nmin_sqnr_db = 5.0\n"
SHAPES = {
    "expand.weight": ((64, 16, 1, 1), (48, 16, 1, 1)),
    "depthwise.weight": ((64, 1, 3, 3), (48, 1, 3, 3)),
    "project.weight": ((16, 64, 1, 1), (16, 48, 1, 1)),
}


@pytest.fixture
def bundle(command_line) -> Path:
    """Build the network for LiteRT and ExecuTorch."""
    folder = command_line.folder
    (folder / "net.py").write_text(NETWORK)
    generator = np.random.default_rng(0)
    for name in ("calibration", "evaluation"):
        images = generator.normal(size=(40, 3, 16, 16)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=images)
    pruned = {"profile": "pruned", "compress": STEPS, "budget": BUDGET}
    targets = [
        command_line.target("phone-litert", format="litert", **pruned),
        command_line.target("phone-xnnpack", format="executorch", backend="xnnpack", **pruned),
    ]
    result = command_line(
        *("build", f"{folder / 'net.py'}:build"),
        *(part for target in targets for part in ("--target", target)),
        *("--calibration", folder / "calibration.npz", "--evaluation", folder / "evaluation.npz"),
        *("--layers", 2, "--output", folder / "bundle"),
    )
    assert result.code == 0, result.out + result.err
    assert command_line("verify", folder / "bundle").code == 0
    return folder / "bundle"


def test_both_files_hold_the_smaller_network_and_say_what_went(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.releasable
    hashes = {entry.path: entry.sha256 for entry in manifest.files}
    variants = manifest.models[0].variants
    assert {variant.format for variant in variants} == {"litert", "executorch"}
    for variant in variants:
        assert variant.methods == ("prune_channels", "quantize_static")
        assert variant.verification == "verified_on_host"
        assert variant.structure is not None
        before, after = variant.structure.before, variant.structure.after
        assert before.macs - after.macs == 64 * 16 * (16 + 9 + 16)
        assert before.parameter_count - after.parameter_count == 16 * (16 + 1 + 9 + 1 + 16)
        path = variant.records["structure"]
        assert hashes[path] == tree_hash(bundle / path)
        record = StructureRecord.model_validate_json((bundle / path).read_text())
        assert (record.before, record.after) == (before, after)
        check_ledger(bundle, variant)
        check_layers(bundle, variant)


def check_ledger(bundle: Path, variant: Variant) -> None:
    ledger = Ledger.model_validate_json((bundle / variant.records["ledger"]).read_text())
    assert ledger.different == ()
    lines = {entry.name: entry for entry in ledger.entries}
    for name, (before, after) in SHAPES.items():
        assert lines[name].size_before_bytes == 4 * prod(before)
        assert lines[name].reason.startswith(f"pruned from {list(before)} to {list(after)}")
    assert "pruned" not in lines["stem.weight"].reason


def check_layers(bundle: Path, variant: Variant) -> None:
    """What kept its size is compared; what lost channels has no float value of its size."""
    report = LayerReport.model_validate_json((bundle / variant.records["layers"]).read_text())
    assert report.layers
    sizes = [item.reason for item in report.unrelated if "as many elements" in item.reason]
    assert sizes or variant.format == "executorch"  # one delegate shows its output alone
