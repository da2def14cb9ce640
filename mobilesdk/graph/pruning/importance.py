"""How much a network would lose with each of its channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.core.contract import Contract
from mobilesdk.graph.program import graph_module, tensors_by_name
from mobilesdk.graph.pruning.dimensions import Dimension
from mobilesdk.graph.pruning.request import Criterion
from mobilesdk.graph.pruning.tracing import Trace, WeightAxis

_DRAWS = 4
"""Of labels for each sample."""


def importances(
    criterion: Criterion,
    program: torch.export.ExportedProgram,
    trace: Trace,
    dimensions: Sequence[Dimension],
    samples: Sequence[Sequence[Tensor]],
    contract: Contract,
    seed: int,
    report: Callable[..., None],
) -> list[NDArray[np.float64]]:
    """Give the importance of every unit of each dimension, at least 0.

    ``l1`` and ``l2`` are the norms of all weights that make or take the unit (Li et al. 2017,
    extended to what depends on each other as in Fang et al. 2023). ``taylor`` is the mean square
    over samples of what the loss would change, to first order, if no layer took the unit any more
    (Molchanov et al. 2019). The loss is the likelihood of labels drawn from the model's own
    probabilities for outputs that are classes, and a random projection of the others: the loss
    against its own soft labels is at its minimum, so that its gradient tells nothing.

    Args:
        criterion: Which of them.
        program: With float weights.
        trace: Of the program.
        dimensions: Whose units are weighed.
        samples: Input tensors of each sample, for ``taylor``.
        contract: Says what the outputs are.
        seed: Of what is drawn.
        report: Called with a message and the share done.
    """
    if criterion == "taylor":
        totals = _taylor(program, trace, samples, contract, seed, report)
    else:
        totals = _norms(program, trace, 1 if criterion == "l1" else 2)
    return [np.array([totals.get(unit, 0.0) for unit in each.units]) for each in dimensions]


def _norms(
    program: torch.export.ExportedProgram, trace: Trace, power: Literal[1, 2]
) -> dict[int, float]:
    tensors = tensors_by_name(program)
    totals: dict[int, float] = {}
    for place in _places([*trace.makes, *trace.takes]):
        weight = tensors[place[0]].detach().double().abs() ** power
        _add(totals, trace, place, _per_index(weight, place[1]))
    return {unit: total ** (1 / power) for unit, total in totals.items()}


def _taylor(
    program: torch.export.ExportedProgram,
    trace: Trace,
    samples: Sequence[Sequence[Tensor]],
    contract: Contract,
    seed: int,
    report: Callable[..., None],
) -> dict[int, float]:
    module = graph_module(program)
    places = _places(trace.takes)
    weights = {name: _attribute(module, name).requires_grad_(True) for name, _ in places}
    generator = torch.Generator().manual_seed(seed)
    totals: dict[int, float] = {}
    for index, sample in enumerate(samples):
        report("weighing channels", index / len(samples))
        outputs = module(*sample)
        for draw in range(_DRAWS):
            loss = _loss(outputs, contract, generator)
            gradients = torch.autograd.grad(
                loss, list(weights.values()), retain_graph=draw < _DRAWS - 1, allow_unused=True
            )
            changes: dict[int, float] = {}
            by_name = dict(zip(weights, gradients, strict=True))
            for name, axis in places:
                gradient = by_name[name]
                if gradient is not None:
                    product = (gradient * weights[name].detach()).double()
                    _add(changes, trace, (name, axis), _per_index(product, axis))
            for unit, change in changes.items():
                totals[unit] = totals.get(unit, 0.0) + change**2
    return totals


def _loss(outputs: Sequence[Tensor], contract: Contract, generator: torch.Generator) -> Tensor:
    """Draw what the outputs are compared with; give the loss of it."""
    losses = []
    for output, spec in zip(outputs, contract.outputs, strict=True):
        if not output.requires_grad:
            continue
        if spec.kind in ("classification", "tokens"):
            scores = output.flatten(0, -2).log_softmax(-1)
            drawn = torch.multinomial(scores.detach().exp(), 1, generator=generator)
            losses.append(-scores.gather(-1, drawn).sum())
        else:
            signs = torch.randint(0, 2, output.shape, generator=generator) * 2.0 - 1.0
            losses.append((output * signs).sum() / output.detach().norm().clamp_min(1e-12))
    return torch.stack(losses).sum()


def _places(axes: Sequence[WeightAxis]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((each.constant, each.axis) for each in axes))


def _per_index(values: Tensor, axis: int) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = values.movedim(axis, 0).flatten(1).sum(dim=1).numpy()
    return sums


def _add(
    totals: dict[int, float], trace: Trace, place: tuple[str, int], values: NDArray[np.float64]
) -> None:
    roots = trace.units.roots(trace.constants[place[0]][place[1]])
    for unit, value in zip(roots.tolist(), values.tolist(), strict=True):
        totals[unit] = totals.get(unit, 0.0) + value


def _attribute(module: torch.nn.Module, name: str) -> Any:
    parent, _, leaf = name.rpartition(".")
    return getattr(module.get_submodule(parent), leaf)
