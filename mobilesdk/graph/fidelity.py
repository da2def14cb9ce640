"""Check that a program was rewritten without any change but the rounding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.core.contract import Contract, ImageInput, InputSpec, TokenInput
from mobilesdk.core.sizes import judged_sizes, shape_at
from mobilesdk.data.resizing import resized_array
from mobilesdk.errors import ArtifactInvalid, InvalidModel
from mobilesdk.graph.program import graph_module
from mobilesdk.numerics.metrics import sqnr_db

ENOUGH_DB = 80.0
BELOW_FLOOR_DB = 6.0
_RANDOM_INPUTS = 3

Tensors = Sequence[Tensor]


def check_fidelity(
    original: torch.export.ExportedProgram,
    prepared: torch.export.ExportedProgram,
    example: Tensors,
    contract: Contract,
    seed: int,
) -> float:
    """Compare two programs on the example and on random inputs, at all sizes that are judged.

    An output passes with an SQNR of 80 dB. A network that is itself less exact in float32 passes
    down to 6 dB below its own floor, the SQNR of its float32 run against its float64 run: two
    independent roundings of that size lie 3 dB apart, and as much again is left for chance.
    Integer and boolean outputs have to be equal. Random inputs on which the original gives
    non-finite numbers are passed over.

    Args:
        original: As it was.
        prepared: The same after preparation, or any other rewriting.
        example: The example inputs, in the contract's order.
        contract: Of the model: tells what random inputs look like.
        seed: Of the random inputs.

    Returns:
        The smallest SQNR in dB; infinite when all is equal.

    Raises:
        ArtifactInvalid: They differ by more.
        InvalidModel: The original gives no finite numbers on any of the inputs.
    """
    before, after = graph_module(original), graph_module(prepared)
    lowest_db, compared = float("inf"), 0
    for inputs in judged_inputs(contract, example, seed):
        expected = run_seeded(before, inputs, seed)
        if not all(bool(torch.isfinite(each).all()) for each in expected):
            continue
        compared += 1
        actual = run_seeded(after, inputs, seed)
        for output, true, seen in zip(contract.outputs, expected, actual, strict=True):
            reached_db = distance_db(true, seen)
            lowest_db = min(lowest_db, reached_db)
            if reached_db < ENOUGH_DB:
                _check_against_floor(original, inputs, output.name, reached_db, contract, seed)
    if not compared:
        raise InvalidModel(
            "The model gives infinite numbers or NaN on its example inputs.",
            hint="give example inputs that the model is meant for, and check its weights.",
        )
    return lowest_db


def _check_against_floor(
    original: torch.export.ExportedProgram,
    inputs: Tensors,
    name: str,
    reached_db: float,
    contract: Contract,
    seed: int,
) -> None:
    place = [output.name for output in contract.outputs].index(name)
    allowed_db = allowed_distance_db(original, inputs, place, seed)
    if reached_db < allowed_db:
        raise ArtifactInvalid(
            f"Rewriting the model changed its output {name!r}: {reached_db:.1f} dB, where its own "
            f"float32 rounding allows {allowed_db:.1f} dB.",
            hint="this is a fault of mobilesdk: please report it with the model.",
        )


def allowed_distance_db(
    program: torch.export.ExportedProgram, inputs: Tensors, place: int, seed: int
) -> float:
    """Give the SQNR that another float32 run of a program has to reach at an output.

    80 dB, or 6 dB below the SQNR of the program's float32 run against its float64 run.

    Args:
        program: Flat.
        inputs: Leaf tensors.
        place: Of the output.
        seed: Of random ops.
    """
    rounded = run_seeded(graph_module(program), inputs, seed)[place]
    if not rounded.is_floating_point():
        return float("inf")
    exact = run_seeded(graph_module(program).double(), [_double(each) for each in inputs], seed)
    floor_db = sqnr_db(_rows(exact[place]), _rows(rounded))
    return min(floor_db - BELOW_FLOOR_DB, ENOUGH_DB)


def run_seeded(module: torch.fx.GraphModule, inputs: Tensors, seed: int) -> Tensors:
    """Run a flat module on leaf tensors, with a seed for its random ops."""
    torch.manual_seed(seed)
    with torch.no_grad():
        outputs: Tensors = module(*inputs)
    return outputs


def distance_db(true: Tensor, seen: Tensor) -> float:
    """Give the SQNR of floats; of all else, infinity if they are equal, else minus infinity.

    Values of different shapes have a distance of minus infinity.
    """
    if true.shape != seen.shape:
        return float("-inf")
    if not true.is_floating_point():
        return float("inf") if torch.equal(true, seen) else float("-inf")
    if not bool(torch.isfinite(seen).all()):
        return float("-inf")
    return sqnr_db(_rows(true), _rows(seen))


def _rows(tensor: Tensor) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = tensor.detach().double().reshape(1, -1).numpy()
    return rows


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def judged_inputs(contract: Contract, example: Tensors, seed: int) -> Iterator[list[Tensor]]:
    """Give the example and random inputs; at each other size that is judged, one of both."""
    yield list(example)
    yield from random_inputs(contract.inputs, example, seed)
    for sizes in judged_sizes(contract)[1:]:
        resized = [
            torch.from_numpy(resized_array(leaf.numpy(), shape_at(contract, spec, sizes)))
            for spec, leaf in zip(contract.inputs, example, strict=True)
        ]
        yield resized
        yield next(random_inputs(contract.inputs, resized, seed))


def random_inputs(
    specs: Sequence[InputSpec], example: Tensors, seed: int
) -> Iterator[list[Tensor]]:
    """Draw three sets of inputs that a model may be given."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(_RANDOM_INPUTS):
        yield [_random(spec, leaf, generator) for spec, leaf in zip(specs, example, strict=True)]


def _random(spec: InputSpec, example: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an input: pixels, ids of the vocabulary, or numbers as large as the example's.

    Integers of unknown meaning stay as in the example: others may be out of range.
    """
    preparation = spec.preparation
    if isinstance(preparation, TokenInput) and preparation.vocabulary_size is not None:
        ids = torch.randint(preparation.vocabulary_size, example.shape, generator=generator)
        return ids.to(example.dtype)
    if not example.is_floating_point():
        return example
    noise = torch.randn(example.shape, generator=generator)
    if isinstance(preparation, ImageInput):
        low, high = _pixel_limits(preparation)
        return (low + (high - low) * noise.sigmoid()).to(example.dtype)
    scale = example.float().std(correction=0)
    return (noise * (scale if scale > 0 else 1.0) + example.float().mean()).to(example.dtype)


def _pixel_limits(image: ImageInput) -> tuple[float, float]:
    """Give the values of the darkest and the brightest pixel."""
    mean, std = np.asarray(image.mean, np.float64), np.asarray(image.std, np.float64)
    ends = np.stack([(0.0 - mean) / std, (255.0 - mean) / std])
    return float(ends.min()), float(ends.max())
