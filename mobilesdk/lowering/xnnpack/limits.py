"""What ExecuTorch's backends can store, asked before anything runs.

Plain data: importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from mobilesdk.core.model import ModelSummary, ModelWeight
from mobilesdk.core.scheme import ActivationScheme, Request, WeightRole, WeightScheme
from mobilesdk.graph.schemes import MINIMUM_ELEMENTS, plan_weight

Backend = Literal["xnnpack", "portable", "coreml"]
Precision = Literal["float32", "float16"]

BLOCK_MULTIPLE = 32
"""XNNPACK's kernels for 4-bit blocks take multiples of so many input channels."""

_FLOAT32 = WeightScheme()
_HALF_BITS = 16
_IMAGE_FILTER_AXES = 4


def refusals(
    backend: Backend, precision: Precision, request: Request, summary: ModelSummary
) -> list[str]:
    """Give every reason why a backend cannot store a request; empty if it can.

    Args:
        backend: Who runs the program.
        precision: Of activations and weights under Core ML.
        request: What the profile asks for.
        summary: Its weights decide which of the requests by role matter, and in which scheme.
    """
    activations = request.activations
    reasons = [*_activation_refusals(backend, precision, activations)]
    # A static program has int8 ops only if their weights are integers, so none stays float.
    minimum = 0 if activations.mode == "static" else MINIMUM_ELEMENTS
    for weight in summary.weights:
        requested = request.weights.get(weight.role, _FLOAT32)
        planned, _ = plan_weight(requested, weight.role, weight.shape, minimum_elements=minimum)
        reason = weight_refusal(
            backend, precision, activations, planned, weight.role, len(weight.shape)
        ) or _group_refusal(planned, weight)
        if reason and reason not in reasons:
            reasons.append(reason)
    return reasons


def weight_refusal(
    backend: Backend,
    precision: Precision,
    activations: ActivationScheme,
    scheme: WeightScheme,
    role: WeightRole,
    axes: int,
) -> str:
    """Tell why a backend cannot store one weight in a scheme; empty if it can.

    Args:
        backend: Who runs the program.
        precision: Of activations and weights under Core ML.
        activations: Scheme of all activations.
        scheme: Scheme of the weight.
        role: What the weight is to the op that takes it.
        axes: Number of its axes.
    """
    if scheme.sparsity:
        return f"{backend} has no kernels that skip zeros: sparse weights would save nothing"
    if scheme == _FLOAT32:
        return ""
    if backend == "coreml":
        return _coreml_refusal(precision, scheme)
    if backend == "portable":
        return f"the portable backend stores float32 weights only, not {scheme}"
    if scheme.encoding != "linear":
        return f"XNNPACK has no kernels for {scheme} weights"
    if not scheme.symmetric:
        return f"XNNPACK takes symmetric weights only, not {scheme}"
    if role == "embedding":
        return _embedding_refusal(scheme)
    if activations.mode == "float":
        return (
            f"XNNPACK has no kernels for {scheme} weights with float activations: use a method "
            "with static or dynamic int8 activations"
        )
    if activations.mode == "static":
        return _static_refusal(scheme, role, axes)
    return _dynamic_refusal(scheme, role, axes)


def _group_refusal(scheme: WeightScheme, weight: ModelWeight) -> str:
    if scheme.encoding != "linear" or weight.role != "conv_transpose" or weight.groups == 1:
        return ""
    return (
        f"XNNPACK has no int8 kernel for transposed convolutions in groups ({weight.name} has "
        f"{weight.groups}): leave conv_transpose float with an override"
    )


def _activation_refusals(
    backend: Backend, precision: Precision, activations: ActivationScheme
) -> Iterator[str]:
    half = activations.bits == _HALF_BITS
    if backend == "coreml":
        if activations.mode != "float":
            yield f"the Core ML delegate takes float activations only, not {activations}"
        elif half and precision == "float32":
            yield 'float16 activations need compute_precision = "float16"'
    elif activations.mode == "float" and half:
        yield f"the {backend} backend runs float32 activations, not float16"
    elif activations.mode == "static" and half:
        yield f"the {backend} backend has no kernels for 16-bit integer activations"
    elif activations.mode != "float" and backend == "portable":
        yield f'the portable backend runs float32 only, not {activations}: use backend = "xnnpack"'


def _coreml_refusal(precision: Precision, scheme: WeightScheme) -> str:
    if scheme.encoding != "float":
        return f'{scheme} weights do not pass through the Core ML delegate: use format = "coreml"'
    return "" if precision == "float16" else 'float16 weights need compute_precision = "float16"'


def _embedding_refusal(scheme: WeightScheme) -> str:
    if scheme.bits == 8 and scheme.granularity == "per_channel":
        return ""
    return f"the kernel for embeddings takes int8/channel tables, not {scheme}"


def _static_refusal(scheme: WeightScheme, role: WeightRole, axes: int) -> str:
    if role == "other":
        return "weights outside convolutions and matrix products cannot be requested in int8"
    if scheme.bits != 8 or scheme.granularity == "per_block":
        return f"static int8 takes weights of 8 bits per tensor or channel, not {scheme}"
    return _axes_refusal(axes)


def _dynamic_refusal(scheme: WeightScheme, role: WeightRole, axes: int) -> str:
    if role == "linear":
        return _matrix_refusal(scheme)
    if role != "conv" or axes != _IMAGE_FILTER_AXES:
        return (
            f"XNNPACK has no dynamic int8 kernel for {role} weights of {axes} axes: leave them "
            "float with an override, or use static int8"
        )
    if (scheme.bits, scheme.granularity) != (8, "per_channel"):
        return f"dynamic int8 convolutions take int8/channel weights, not {scheme}"
    return ""


def _matrix_refusal(scheme: WeightScheme) -> str:
    if scheme.granularity == "per_tensor":
        return f"dynamic int8 takes scales per channel or block, not {scheme}"
    if scheme.block_size is None:
        return "" if scheme.bits in (4, 8) else f"XNNPACK has no kernels for {scheme} weights"
    if scheme.bits == 4 and scheme.block_size % BLOCK_MULTIPLE == 0:
        return ""
    return (
        f"XNNPACK has kernels for int4 blocks of a multiple of {BLOCK_MULTIPLE} channels, not "
        f"for {scheme}"
    )


def _axes_refusal(axes: int) -> str:
    if axes > _IMAGE_FILTER_AXES:
        return 'XNNPACK has no 3-D convolutions: use format = "litert", or leave the model float'
    return ""
