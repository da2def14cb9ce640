"""Run in a process of its own: packages of every kind that coremltools writes.

The last argument is a folder. Writes ``<name>.mlpackage``.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mobilesdk.lowering.coreml.convert import import_coremltools
from tests.runtimes.kinds_of_package import LABELS, RunningSum, Scores

ct = import_coremltools()
gc.freeze()  # coremltools collects garbage after each conversion

from coremltools.converters.mil.mil import Builder as mb  # noqa: E402  after its clashes are hidden
from coremltools.converters.mil.mil import Operation, types  # noqa: E402
from coremltools.converters.mil.mil.input_type import InputSpec, TensorInputType  # noqa: E402
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry  # noqa: E402

IOS18 = ct.target.iOS18
SHAPE = (1, 3, 8, 8)
FLOAT = {"dtype": np.float32}


def convert(module: nn.Module, example: torch.Tensor, taken: Any, **options: Any) -> Any:
    return ct.convert(
        torch.jit.trace(module.eval(), (example,)),
        inputs=[taken],
        minimum_deployment_target=IOS18,
        skip_model_load=True,
        **options,
    )


def image_network(taken: Any, *, seed: int = 0, classes: Any = None) -> Any:
    options = {"outputs": [ct.TensorType("scores", **FLOAT)]}
    if classes is not None:
        options = {"classifier_config": ct.ClassifierConfig(list(classes))}
    return convert(Scores(seed), torch.zeros(SHAPE), taken, **options)


def array(*shape: Any) -> Any:
    return ct.TensorType("image", shape or SHAPE, **FLOAT)


def pixels(scale: float) -> Any:
    return ct.ImageType("image", SHAPE, scale=scale, bias=[-1.0] * 3)


def stateful() -> Any:
    state = ct.StateType(ct.TensorType(shape=(1, 4), dtype=np.float16), name="total")
    return convert(
        RunningSum(),
        torch.zeros(1, 4),
        ct.TensorType("x", (1, 4), **FLOAT),
        outputs=[ct.TensorType("y", **FLOAT)],
        states=[state],
    )


def random_scores() -> Any:
    @mb.program(input_specs=[mb.TensorSpec(shape=SHAPE)], opset_version=IOS18)
    def main(image: Any) -> Any:
        mean = mb.reduce_mean(x=image, axes=[1, 2, 3], keep_dims=False)
        noise = mb.random_normal(shape=[1, 5])
        return mb.add(x=noise, y=mb.expand_dims(x=mean, axes=[1]), name="scores")

    return ct.convert(main, minimum_deployment_target=IOS18, skip_model_load=True)


@SSAOpRegistry.register_op(is_custom_op=True)
class app_scores(Operation):  # type: ignore[misc]  # the name of an operation
    """What an app would compute itself."""

    input_spec = InputSpec(x=TensorInputType(type_domain="T"))
    type_domains = {"T": (types.fp16, types.fp32)}
    bindings = {
        "class_name": "AppScores",
        "input_order": ["x"],
        "parameters": [],
        "description": "scores",
    }

    def type_inference(self) -> Any:
        return types.tensor(types.fp32, (1, 5))


def custom_scores() -> Any:
    @mb.program(input_specs=[mb.TensorSpec(shape=SHAPE)], opset_version=IOS18)
    def main(image: Any) -> Any:
        return mb.app_scores(x=image, name="scores")

    return ct.convert(main, minimum_deployment_target=IOS18, skip_model_load=True)


def two_functions(folder: Path) -> Any:
    """Write two networks into one package; all but the head is stored once."""
    second = Scores()
    torch.manual_seed(1)
    second.head = nn.Linear(64, 5)
    image_network(array()).save(str(folder / "first.mlpackage"))
    convert(second, torch.zeros(SHAPE), array(), outputs=[ct.TensorType("scores", **FLOAT)]).save(
        str(folder / "second.mlpackage")
    )
    functions = ct.utils.MultiFunctionDescriptor()
    for name in ("first", "second"):
        functions.add_function(str(folder / f"{name}.mlpackage"), "main", name)
    functions.default_function_name = "first"
    return functions


def main(folder: Path) -> None:
    side, other = ct.RangeDim(4, 16, 8), ct.RangeDim(9, 16, 9)
    listed = ct.EnumeratedShapes([SHAPE, (1, 3, 16, 16)], default=SHAPE)
    made = {
        "classifier": image_network(array(), classes=LABELS),
        "numbered_classifier": image_network(array(), classes=[7, 3, 9, 1, 5]),
        "ranges": image_network(array(1, 3, side, side)),
        "other_ranges": image_network(array(1, 3, other, other)),
        "listed": image_network(ct.TensorType("image", listed, **FLOAT)),
        "half": convert(
            Scores(),
            torch.zeros(SHAPE),
            ct.TensorType("image", SHAPE),
            outputs=[ct.TensorType("scores")],
        ),
        "image": image_network(pixels(1 / 127.5)),
        "image_scaled_wrong": image_network(pixels(1 / 255)),
        "stateful": stateful(),
        "random": random_scores(),
        "custom": custom_scores(),
    }
    for name, package in made.items():
        package.save(str(folder / f"{name}.mlpackage"))
    ct.utils.save_multifunction(two_functions(folder), str(folder / "two.mlpackage"))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
