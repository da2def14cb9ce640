"""What coremltools does wrong without an error fails here: each fault in a package that has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.gate import Verification
from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.scheme import ActivationScheme, WeightScheme
from mobilesdk.coreml import load
from mobilesdk.errors import ArtifactInvalid, CheckFailed, CompressionIncomplete
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.pipeline.foreign import foreign_checks
from mobilesdk.plugins import runtime
from mobilesdk.verify.ledger import build_ledger, enforce
from mobilesdk.verify.record import VariantRecord
from mobilesdk.verify.soundness import enforce_sound

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NET = Path(__file__).with_name("coreml_faults_net.py")
CLEAN = [
    "channels_within_clamp",
    "clean",
    "clean_int8",
    "clean_palette6",
    "clean_sparse",
    "dead_channel",
    "few_float_ids",
    "kept_write",
    "masked",
    "sliced",
    "sparse_int8",
]
SPREAD = """
import torch

from mobilesdk import ArrayInput, ModelSpec


class Spread(torch.nn.Module):
    def forward(self, x):
        return (x * x).mean(-1, keepdim=True) - x.mean(-1, keepdim=True) ** 2


def build():
    outputs = {"sub": "other"}
    module = Spread().eval()
    return ModelSpec(module, (torch.zeros(8, 8),), inputs={"x": ArrayInput()}, outputs=outputs)
"""
INT4 = WeightScheme(encoding="linear", bits=4, granularity="per_block", block_size=32)
PALETTE4 = WeightScheme(encoding="palette", bits=4, granularity="per_group", group_size=16)
HALF_ZERO = WeightScheme(bits=16, sparsity=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults")
    script = Path(__file__).with_name("coreml_faults_worker.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(made)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return made


def inspect(folder: Path, name: str) -> ArtifactInfo:
    return runtime("coreml").inspect(folder / f"{name}.mlpackage")


@pytest.mark.parametrize("name", CLEAN)
def test_a_package_without_a_fault_passes(name: str, folder: Path) -> None:
    info = inspect(folder, name)
    assert (info.problems, info.suspicions) == ((), ())
    enforce_sound(info)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unpruned", ["head_weight", "compressed to 169840 bytes, more than the 160000"]),
        ("unpruned_int8", ["head_weight", "sparse, but its mask keeps 79920 of 80000 values"]),
        ("changed", ["back_weight", "scaled for each input channel"]),
        ("changed", ["odd_weight", "largest value of each input channel is 1: divided"]),
        ("without_scale", ["head_weight", "80000 of 80000 values are lost"]),
        ("outgrown", ["back_weight", "compressed to 45760 bytes, more than the 9600"]),
        ("operand", ["positions", "(add): compressed, but it is an operand and no weight"]),
        ("sliced_int8", ["positions", "(add): compressed, but it is an operand and no weight"]),
        ("sliced_palette4", ["positions", "(add): compressed, but it is an operand and no"]),
        ("before_clamp", ["(conv): rounded over -", "before clip cuts it to 0…6"]),
        ("channels_before_clamp", ["(conv): rounded over 0…12 in channel 2 of 4", "to 0…6"]),
        ("infinite", ["(mul): 1 of 1 values are not finite"]),  # 0 times infinity is no number
        ("float_ids", ["(gather): ids pass through float16 in floor", "there are 70000 rows"]),
        ("lost_write", ["The state 'cache' is never written"]),
        ("joined_float_ids", ["(gather): ids pass through float16", "there are 70000 rows"]),
    ],
)
def test_a_fault_that_shows_in_the_file_is_named_and_refused(
    name: str, words: list[str], folder: Path
) -> None:
    info = inspect(folder, name)
    assert any(all(word in problem for word in words) for problem in info.problems)
    with pytest.raises(ArtifactInvalid, match="problem"):
        enforce_sound(info)


@pytest.mark.parametrize(
    ("name", "suspicion"),
    [
        ("skipped_vectors", "into vectors of 16 like those that are: p_odd_weight"),
        ("underflown", "head_weight_to_fp16 (linear): 80000 of 80000 values lie below the normal"),
        ("vanished", "head_weight_to_fp16 (linear): all 80000 values are zero"),
        ("skipped_blocks", "into blocks of 32 like those that are: p_back_weight"),
        ("skipped_groups", "into groups of 16 like those that are: p_odd_weight"),
        ("changed", "into groups of 16 like those that are: p_odd_weight"),
    ],
)
def test_what_nobody_planned_fails_a_package_without_a_plan(
    name: str, suspicion: str, folder: Path
) -> None:
    info = inspect(folder, name)
    assert suspicion in info.suspicions[0]
    record = VariantRecord(
        verification=Verification.NOT_EVALUATED,
        reason="",
        gates=(),
        parity=None,
        size_bytes=info.size_bytes,
        minimum_os="",
        delegates={},
        op_counts={},
        inputs=(),
        outputs=(),
        notes=(),
    )
    checks = foreign_checks(Path(name), info, record)
    assert (checks[0].verdict, suspicion in checks[0].detail) == ("failed", True)
    clean = foreign_checks(Path(name), inspect(folder, "clean"), record)
    assert clean[0].verdict == "passed"


def test_vectors_of_a_palette_are_told_with_its_scheme(folder: Path) -> None:
    weights = {weight.name: weight for weight in inspect(folder, "skipped_vectors").weights}
    assert weights["p_back_weight_to_fp16_palettized"].vector_size == 16
    assert {weight.vector_size for weight in inspect(folder, "clean_palette6").weights} == {1}


def expectation(folder: Path, planned: WeightScheme) -> Expectation:
    """Say that the three large weights were planned alike."""
    with np.load(folder / "original.npz") as original:
        weights = {name: original[f"{name}.weight"] for name in ("odd", "back", "head")}
    return Expectation(
        weights=tuple(
            ExpectedWeight(
                name=name,
                role="linear" if name == "head" else "conv",
                shape=values.shape,
                requested=planned,
                planned=planned,
                fingerprint=fingerprint(values),
            )
            for name, values in weights.items()
        ),
        activations=ActivationScheme(bits=16),
        float_op_types={"cast": "converts between float32 and float16"},
    )


@pytest.mark.parametrize(
    ("name", "planned", "weight", "reason"),
    [
        ("unpruned", HALF_ZERO, "head", "the file stores it otherwise"),
        ("skipped_blocks", INT4, "back", "the file stores it otherwise"),
        ("skipped_blocks", INT4, "head", "the file stores it otherwise"),
        ("skipped_groups", PALETTE4, "odd", "the file stores it otherwise"),
        ("changed", WeightScheme(bits=16), "odd", "its values are others"),
        ("operand", WeightScheme(bits=16), "b_positions", "no weight was compressed"),
    ],
)
def test_a_fault_that_shows_against_the_plan_fails_the_build(
    name: str, planned: WeightScheme, weight: str, reason: str, folder: Path
) -> None:
    ledger = build_ledger(expectation(folder, planned), inspect(folder, name))
    (entry,) = [item for item in ledger.different if item.name.startswith(weight)]
    assert reason in entry.reason
    with pytest.raises(CompressionIncomplete):
        enforce(ledger, None)


def test_a_plan_that_the_file_keeps_passes(folder: Path) -> None:
    ledger = build_ledger(expectation(folder, WeightScheme(bits=16)), inspect(folder, "clean"))
    assert ledger.different == ()


def test_scales_near_zero_are_remarked_and_no_fault(folder: Path) -> None:
    info = inspect(folder, "clean_int8")
    assert info.remarks == (
        "Of 1140 scales, 0 lie below the normal range of float16, and 1 are zero.",
    )
    assert inspect(folder, "dead_channel").remarks == (
        "Of 1140 scales, 0 lie below the normal range of float16, and 2 are zero; "
        "80 values are zero for that.",
    )
    assert inspect(folder, "clean").remarks == ()


def test_an_overflow_at_run_time_is_found_with_its_operation(folder: Path) -> None:
    """A square above 65,504, written as a product: the file is sound, and a run of it is not."""
    assert inspect(folder, "overflow").problems == ()
    executable = load(folder / "overflow.mlpackage")
    (name,) = executable.input_names
    executable.predict({name: np.full((8, 8), 200, np.float32)})
    assert executable.non_finite == ()
    found = executable.predict({name: np.full((8, 8), 300, np.float32)})
    (overflow,) = executable.non_finite
    assert (overflow.op_type, overflow.of_infinity) == ("mul", False)
    assert not np.allclose(next(iter(found.values())), 1)


@pytest.mark.parametrize(("name", "fails"), [("before_clamp", True), ("clean", False)])
def test_inspect_names_the_fault_and_ends_with_its_exit_code(
    name: str, fails: bool, folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mobilesdk", "inspect", str(folder / f"{name}.mlpackage")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (CheckFailed.exit_code if fails else 0), done.stderr
    assert ("before clip cuts it" in " ".join(done.stdout.split())) == fails


@pytest.mark.parametrize(
    ("name", "verdicts", "words"),
    [
        ("before_clamp", ("failed", "not_evaluated"), "(conv): rounded over"),
        (
            "without_scale",
            ("failed", "not_evaluated"),
            "head_weight_to_fp16_quantized (linear): 80000 of",
        ),
        ("skipped_blocks", ("failed", "passed", "measured"), "into blocks of 32"),
        ("clean", ("passed", "passed", "measured"), "sqnr_db"),
    ],
)
def test_verify_names_the_fault_and_ends_with_its_exit_code(
    name: str, verdicts: tuple[str, str], words: str, folder: Path, command_line: Any
) -> None:
    np.savez(
        command_line.folder / "images.npz",
        image=np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32),
    )
    result = command_line(
        *("verify", folder / f"{name}.mlpackage", "--model", f"{NET}:build", "--json"),
        *("--evaluation", command_line.folder / "images.npz"),
    )
    passed = verdicts[0] == "passed"
    assert (result.code, result.json["passed"]) == (int(not passed), passed), result.err
    checks = result.json["checks"]
    assert tuple(check["verdict"] for check in checks) == verdicts
    assert words in str(checks)


@pytest.mark.parametrize(("mean", "code"), [(0.0, 0), (100.0, 1)])
def test_a_file_whose_outputs_carry_nothing_fails_without_a_plan(
    mean: float, code: int, folder: Path, command_line: Any
) -> None:
    """What float16 leaves of E[x²] - E[x]² is noise where the mean is large, and good elsewhere."""
    model = command_line.folder / "spread.py"
    model.write_text(SPREAD)
    spread = np.random.default_rng(0).normal(mean, 0.01 if mean else 1.0, size=(8, 8, 8))
    np.savez(command_line.folder / "set.npz", x=spread.astype(np.float32))
    result = command_line(
        *("verify", folder / "spread.mlpackage", "--model", f"{model}:build", "--json"),
        *("--evaluation", command_line.folder / "set.npz", "--require-releasable"),
    )
    assert (result.code, result.json["passed"]) == (code, not code), result.err
    gate = result.json["checks"][1]
    assert gate["name"].startswith("min_sqnr_db")
    assert gate["verdict"] == ("failed" if code else "passed")
    assert "against 40 dB. The floor of a file without a plan, which is float16." in gate["detail"]
