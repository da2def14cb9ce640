"""A model between two steps: a frozen value that points at files, never at live objects."""

from __future__ import annotations

from math import prod
from pathlib import Path

from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Trait
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.scheme import Request, WeightRole


class ModelWeight(Frozen):
    """One weight of the float model: what profiles choose schemes for.

    Attributes:
        name: Fully qualified name in the exported program's state.
        role: What the weight is to the op that takes it.
        shape: Shape as in torch.
        groups: Of the convolution that takes it.
    """

    name: str
    role: WeightRole
    shape: tuple[int, ...]
    groups: int = 1


class ModelSummary(Frozen):
    """What planning needs to know of a model; written once by its frontend.

    Attributes:
        contract: What it takes and gives.
        family: Which profile of a target applies.
        weights: All weights with a role.
        op_counts: Op type → count, in the words of the frontend's form.
        float_size_bytes: All parameters and buffers at float32.
    """

    contract: Contract
    family: str
    weights: tuple[ModelWeight, ...]
    op_counts: dict[str, int]
    float_size_bytes: int

    def size_bytes(self, request: Request) -> int:
        """Give about the size of the model with its weights stored as requested."""
        saved_bits = sum(
            prod(weight.shape) * (32 - scheme.bits * (1 - scheme.sparsity))
            for weight in self.weights
            if (scheme := request.weights.get(weight.role)) is not None
        )
        return max(0, self.float_size_bytes - int(saved_bits / 8))


class Model(Frozen):
    """A model in one form.

    Attributes:
        form: What it is: a `Form`, or the name of the format that it was exported to.
        path: The file or package.
        traits: What has been done to it.
        sidecars: Records beside it, by name: ``compression`` (`CompressionRecord`, JSON), …
    """

    form: str
    path: Path
    traits: frozenset[Trait] = frozenset()
    sidecars: dict[str, Path] = {}
