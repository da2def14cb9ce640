"""Write recurrent layers step by step."""

from __future__ import annotations

import torch

from mobilesdk.graph.program import decompose

_aten = torch.ops.aten
_LAYERS = frozenset({_aten.lstm.input, _aten.gru.input, _aten.rnn_tanh.input, _aten.rnn_relu.input})


def unroll_recurrent_layers(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Write LSTM, GRU and RNN layers as the matrix products and sums of each step.

    Why: as one op their weights are those of no layer that a method compresses, and no quantizer
    sees what they compute; every converter takes them apart anyway, after it is too late.

    Args:
        program: Functional and static, so that the number of steps is known.

    Returns:
        The program itself if it has no such layer.
    """
    if not any(node.target in _LAYERS for node in program.graph.nodes):
        return program
    known = torch.export.default_decompositions()
    return decompose(program, {layer: known[layer] for layer in _LAYERS})
