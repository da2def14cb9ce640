"""The yardstick: convert a model for the tiers of a toolchain with the vendor's calls, and no more.

    python benchmarks/convert_only.py TOOLCHAIN PHOTOS FOLDER

One tier after the other, as somebody would write it by hand: from a module and a folder of
calibration photos to a file, by the tier's profile as far as the vendor's tools have it. What they
do otherwise stands at each function. It checks nothing and records nothing, and does nothing twice:
the model is read and exported once, photos are prepared once, and a file that several tiers have in
common is made once and copied. Prints what each tier took, one line of JSON each.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from examples.efficientnet_lite0 import build

SIZE = 224


class Job:
    """What is converted, and what ranges are taken from."""

    def __init__(self, photos: Path, folder: Path) -> None:
        spec = build()
        self.module, self.inputs = spec.module, spec.example_inputs
        self.folder = folder
        self._photos = photos

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """What is exported of the module, once."""
        return torch.export.export(self.module, self.inputs)

    @cached_property
    def samples(self) -> list[torch.Tensor]:
        """Calibration photos, prepared."""
        return [self._prepared(path) for path in sorted(self._photos.iterdir())]

    @cached_property
    def core_ml_program(self) -> torch.export.ExportedProgram:
        """The program in the operations that coremltools takes."""
        return self.program.run_decompositions({})

    @cached_property
    def float_tflite(self) -> Path:
        """The float file that all LiteRT tiers are made from."""
        import litert_torch

        path = self.folder / "float.tflite"
        litert_torch.convert(self.module, self.inputs).export(str(path))
        return path

    @staticmethod
    def _prepared(path: Path) -> torch.Tensor:
        pixels = np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE)), np.float32)
        return torch.from_numpy((pixels - 127.0) / 128.0).permute(2, 0, 1)[None].contiguous()


def import_coremltools() -> Any:
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # else importing it crashes
    import coremltools

    return coremltools


def to_core_ml(program: Any, target: str, **options: Any) -> Any:
    ct = import_coremltools()
    version = ct.target[target]
    return ct.convert(program, minimum_deployment_target=version, skip_model_load=True, **options)


def apple_legacy(job: Job, output: Path) -> None:
    to_core_ml(job.core_ml_program, "iOS15").save(str(output.with_suffix(".mlpackage")))


def apple_ane(job: Job, output: Path) -> None:
    """Store 6-bit tables for 16 channels each; layers that 16 does not divide stay float16."""
    model = to_core_ml(job.core_ml_program, "iOS18")
    cto = import_coremltools().optimize.coreml
    config = cto.OpPalettizerConfig(
        mode="kmeans", nbits=6, granularity="per_grouped_channel", group_size=16
    )
    model = cto.palettize_weights(model, cto.OptimizationConfig(global_config=config))
    model.save(str(output.with_suffix(".mlpackage")))


def apple_ane_high(job: Job, output: Path) -> None:
    """Round weights and activations to 8 bits, by moving averages: there are no percentiles."""
    ct = import_coremltools()
    from coremltools.optimize.torch.quantization import LinearQuantizer, LinearQuantizerConfig

    observe_only = [0, 10**9, 10**9, 10**9]
    options = {"quantization_scheme": "symmetric", "milestones": observe_only}
    config = LinearQuantizerConfig.from_dict({"global_config": options})
    quantizer = LinearQuantizer(job.module, config)
    prepared = quantizer.prepare(example_inputs=job.inputs)
    prepared.eval()
    quantizer.step()
    for sample in job.samples:
        prepared(sample)
    traced = torch.jit.trace(quantizer.finalize(), job.inputs)
    inputs = [ct.TensorType(name="image", shape=tuple(job.inputs[0].shape))]
    model = to_core_ml(traced, "iOS17", inputs=inputs)
    model.save(str(output.with_suffix(".mlpackage")))


def android_xnnpack(job: Job, output: Path) -> None:
    """Round weights and activations to 8 bits, by extremes as the profile asks.

    The quantizer's own observers, histograms, take several times as long.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    extremes = MinMaxObserver.with_args(eps=2**-12)
    for spec in (config.input_activation, config.output_activation):
        object.__setattr__(spec, "observer_or_fake_quant_ctr", extremes)
    graph = prepare_pt2e(job.program.module(), XNNPACKQuantizer().set_global(config))
    for sample in job.samples:
        graph(sample)
    program = torch.export.export(convert_pt2e(graph), job.inputs)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    output.with_suffix(".pte").write_bytes(edge.to_executorch().buffer)


def ios_executorch(job: Job, output: Path) -> None:
    ct = import_coremltools()
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    specs = CoreMLBackend.generate_compile_specs(
        minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT16
    )
    partitioner = CoreMLPartitioner(compile_specs=specs)
    edge = to_edge_transform_and_lower(job.program, partitioner=[partitioner])
    output.with_suffix(".pte").write_bytes(edge.to_executorch().buffer)


def to_litert(job: Job, output: Path, recipe: Any) -> None:
    from ai_edge_quantizer import quantizer

    stored = quantizer.Quantizer(str(job.float_tflite), recipe)
    ranges = None
    if stored.need_calibration:
        samples = [{"args_0": sample.numpy()} for sample in job.samples]
        ranges = stored.calibrate({"serving_default": samples})
    stored.quantize(ranges).export_model(str(output.with_suffix(".tflite")))


def litert_float16(job: Job, output: Path) -> None:
    rule = {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    }
    to_litert(job, output, [rule])


def litert_int8(job: Job, output: Path) -> None:
    """Round weights and activations to 8 bits: moving averages, as this quantizer has them."""
    from ai_edge_quantizer import recipe

    made = next(job.folder.glob("android-*.int8.tflite"), None)
    path = output.with_suffix(".int8.tflite")
    if made is None:
        to_litert(job, path, recipe.static_wi8_ai8())
    else:
        shutil.copyfile(made, path)


def to_core_ai(module: torch.nn.Module, job: Job, output: Path) -> None:
    import coreai_torch
    from coreai_opt.casting import cast_to_16_bit_precision

    program = torch.export.export(module, job.inputs)
    program = program.run_decompositions(coreai_torch.get_decomp_table())
    cast_to_16_bit_precision(program)
    converter = coreai_torch.TorchConverter().add_exported_program(program)
    converter.to_coreai().save_asset(output.with_suffix(".aimodel"))


def apple_coreai(job: Job, output: Path) -> None:
    """Store 6-bit tables for 16 channels each; layers that 16 does not divide stay float16."""
    from coreai_opt import ExportBackend
    from coreai_opt.palettization import KMeansPalettizer, KMeansPalettizerConfig

    palettizer = KMeansPalettizer(build().module, KMeansPalettizerConfig.presets.w6())
    palettizer.prepare(job.inputs)
    to_core_ai(palettizer.finalize(backend=ExportBackend.CoreAI), job, output)


def apple_coreai_high(job: Job, output: Path) -> None:
    """Round weights and activations to 8 bits, by the observers of coreai-opt."""
    from coreai_opt import ExportBackend
    from coreai_opt.quantization import Quantizer, QuantizerConfig

    quantizer = Quantizer(build().module, QuantizerConfig())
    prepared = quantizer.prepare(job.inputs)
    with quantizer.calibration_mode():
        for sample in job.samples:
            prepared(sample)
    to_core_ai(quantizer.finalize(backend=ExportBackend.CoreAI), job, output)


TIERS: dict[str, dict[str, Callable[[Job, Path], None]]] = {
    "coreml": {
        "apple-legacy": apple_legacy,
        "apple-ane": apple_ane,
        "apple-ane-high": apple_ane_high,
    },
    "coreai": {"apple-coreai": apple_coreai, "apple-coreai-high": apple_coreai_high},
    "executorch": {"ios-executorch": ios_executorch, "android-xnnpack": android_xnnpack},
    "litert": {
        "android-gpu": litert_float16,
        "android-npu": litert_int8,
        "android-nnapi": litert_int8,
        "android-xnnpack-litert": litert_int8,
        "android-low-end": litert_int8,
    },
}


def main() -> None:
    toolchain, photos, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    started_s = time.perf_counter()
    job = Job(photos, folder)
    tell(f"start and model, {toolchain}", started_s, 0.0)
    with torch.no_grad():
        for tier, convert in TIERS[toolchain].items():
            started_s, used_s = time.perf_counter(), cpu_s()
            convert(job, folder / tier)
            tell(tier, started_s, used_s)


def tell(what: str, started_s: float, used_s: float) -> None:
    took_s = {"cpu_seconds": cpu_s() - used_s, "seconds": time.perf_counter() - started_s}
    sys.stdout.write("\n" + json.dumps({"what": what} | took_s) + "\n")
    sys.stdout.flush()


def cpu_s() -> float:
    """Give the processor time of this process and of those that have ended below it."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
