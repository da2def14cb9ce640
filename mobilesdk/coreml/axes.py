"""Axes of the weights of ML Programs: of the output channels, and of the input channels."""

from __future__ import annotations

# Axis of the output channels, by operation and parameter; the input channels are on the other one
# of the first two axes.
_OUTPUT_AXES = {
    ("conv", "weight"): 0,
    ("conv_transpose", "weight"): 1,
    ("linear", "weight"): 0,
    ("gather", "x"): 0,
    **{
        (layer, f"weight_{which}"): 0
        for layer in ("rnn", "gru", "lstm")
        for which in ("ih", "hh", "ih_back", "hh_back")
    },
}


def weight_axis(op_type: str, parameter: str, *, transposed: bool = False) -> int | None:
    """Give the axis of the output channels of a weight.

    Weights are what convolutions, matrix products and recurrent layers multiply with, and tables
    that rows are gathered from.

    Args:
        op_type: Of the operation that takes it, as in MIL.
        parameter: That it is taken as.
        transposed: Of a factor of ``matmul``: whether it is transposed.

    Returns:
        None if it is no weight there. The axis counts from the end where the weight may have axes
        before its two, as matrices may.
    """
    if op_type == "matmul" and parameter in ("x", "y"):
        return -1 if (parameter == "y") != transposed else -2
    return _OUTPUT_AXES.get((op_type, parameter))


def input_axis(output_axis: int) -> int:
    """Give the axis of the input channels, counted from the same end as that of the output ones."""
    return -3 - output_axis if output_axis < 0 else 1 - output_axis
