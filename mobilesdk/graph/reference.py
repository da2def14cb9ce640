"""What the float model gives: on the evaluation set, for parity, and on the golden inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from mobilesdk.core.contract import Contract
from mobilesdk.core.sizes import label, own_sizes, sizes_of
from mobilesdk.core.step import Samples, StepContext
from mobilesdk.data.array_file import ArrayFile
from mobilesdk.data.goldens import flattened, golden_groups
from mobilesdk.data.resizing import resized
from mobilesdk.data.sample import run_sequence
from mobilesdk.errors import InvalidDataset
from mobilesdk.graph.program import graph_module, load_program

GOLDEN_COUNT = 4
GOLDEN_INPUTS_NAME = "golden_inputs.safetensors"
GOLDEN_OUTPUTS_NAME = "golden_outputs.safetensors"

Arrays = Mapping[str, NDArray[Any]]


def reference_name(index: int) -> str:
    """Give the file with the float values of one output, ``[samples, *shape]``."""
    return f"reference_{index}.npy"


def write_reference(
    read: Path,
    contract: Contract,
    *,
    evaluation: Samples | None,
    calibration: Samples | None,
    context: StepContext,
) -> None:
    """Run the original model and write what it gives.

    Writes ``golden_inputs.safetensors`` and ``golden_outputs.safetensors`` (the first samples of
    the evaluation set, else of the calibration set, else the example inputs; each tensor is
    ``[samples, *shape]``) and, with an evaluation set, one ``reference_N.npy`` for each output. Of
    a model with states, the axis of steps follows that of the samples. Of one with dimensions, the
    goldens are there at all sizes that are judged (`mobilesdk.data.goldens`).

    Args:
        read: Folder that the frontend wrote.
        contract: Of the model.
        evaluation: The evaluation set, if there is one.
        calibration: The calibration set, if there is one.
        context: Where to write.

    Raises:
        InvalidDataset: The evaluation set has several sizes, and an output follows them.
        OSError: The file system refused.
    """
    torch.set_num_threads(context.threads)
    model = _FloatModel(read / "original.pt2", contract)
    golden = _first(evaluation or calibration) or _example(read / "example.safetensors", contract)
    groups = _at_all_sizes(golden, contract)
    inputs = {group: _stack(samples) for group, samples in groups.items()}
    outputs = {group: _stack(map(model.run, samples)) for group, samples in groups.items()}
    save_file(flattened(inputs), context.output / GOLDEN_INPUTS_NAME)
    save_file(flattened(outputs), context.output / GOLDEN_OUTPUTS_NAME)
    if evaluation is not None:
        _require_one_shape(contract, evaluation)
        _write_outputs(model, contract, evaluation, context)


def _require_one_shape(contract: Contract, evaluation: Samples) -> None:
    """Pass a set for which every output has the shape of the contract."""
    varying = [spec.name for spec in contract.outputs if spec.varying]
    if not varying:
        return
    own = own_sizes(contract)
    for index, sample in enumerate(evaluation):
        sizes = sizes_of(contract, {name: values.shape for name, values in sample.items()})
        if sizes != own:
            raise InvalidDataset(
                f"Sample {index} of the evaluation set has {label(sizes or {})}, the example "
                f"{label(own)}, and the size of {', '.join(varying)} follows: outputs of different "
                "sizes are not compared with each other.",
                hint="give evaluation samples of the example's size; all sizes are judged on the "
                "goldens.",
            )


def _write_outputs(
    model: _FloatModel, contract: Contract, evaluation: Samples, context: StepContext
) -> None:
    count, steps = len(evaluation), _steps(contract, evaluation)
    with ExitStack() as stack:
        files = {
            spec.name: stack.enter_context(
                ArrayFile(
                    context.output / reference_name(index),
                    spec.dtype,
                    (count, *steps, *spec.shape),
                )
            )
            for index, spec in enumerate(contract.outputs)
        }
        for index, sample in enumerate(evaluation):
            for name, values in model.run(sample).items():
                files[name].append(values)
            context.report("running the float model", (index + 1) / count)


def _steps(contract: Contract, evaluation: Samples) -> tuple[int, ...]:
    """Give the axis that outputs of a model with states have before those of the contract."""
    if not contract.states:
        return ()
    return (len(next(iter(evaluation))[contract.inputs[0].name]),)


class _FloatModel:
    """The original program, run sample by sample."""

    def __init__(self, path: Path, contract: Contract) -> None:
        self._module = graph_module(load_program(path))
        self._contract = contract
        self._states: dict[str, NDArray[Any]] = {}

    def run(self, sample: Arrays) -> dict[str, NDArray[Any]]:
        states = self._contract.states
        self._states = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in states}
        return run_sequence(self._step, sample) if states else self._step(sample)

    def _step(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        whole, given = self._contract.functional, {**inputs, **self._states}
        tensors = [torch.from_numpy(np.array(given[spec.name])) for spec in whole.inputs]
        with torch.no_grad():
            outputs = self._module(*tensors)
        found = {
            spec.name: np.ascontiguousarray(value.numpy())
            for spec, value in zip(whole.outputs, outputs, strict=True)
        }
        states = self._contract.states
        self._states = {spec.name: found.pop(spec.next_name) for spec in states}
        return found


def _first(samples: Samples | None) -> list[Arrays]:
    if samples is None:
        return []
    return [sample for _, sample in zip(range(GOLDEN_COUNT), samples, strict=False)]


def _example(path: Path, contract: Contract) -> list[Arrays]:
    """Give the example inputs as a sample; of a model with states, a sequence of two steps."""
    inputs = load_file(path)
    if not contract.states:
        return [inputs]
    return [{name: np.stack([values, values]) for name, values in inputs.items()}]


def _at_all_sizes(samples: list[Arrays], contract: Contract) -> dict[str, list[Arrays]]:
    """Give samples in one group for each size that is judged; those of the contract come first."""
    if not contract.dimensions:
        return {"": samples}
    return {
        group: [resized(each, contract, sizes) for each in samples]
        for group, sizes in golden_groups(contract).items()
    }


def _stack(samples: Iterable[Arrays]) -> dict[str, NDArray[Any]]:
    rows = list(samples)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
