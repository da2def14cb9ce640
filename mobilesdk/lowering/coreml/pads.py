"""Zero pads become the padding of the convolution behind them.

A pad is no integer operation of Core ML: on its own it would stand, in float, between two integer
convolutions. Models that pad one side only (TensorFlow's ``SAME``) have one before every
convolution with a stride.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilesdk.lowering.coreml.editing import without_source


def fold_pads(mil: Any) -> None:
    """Fold zero pads into convolutions, where nothing but convolutions takes what they give.

    Args:
        mil: The coremltools program; changed in place.
    """
    block = mil.functions["main"]
    with block, without_source():
        for pad in list(block.operations):
            users = pad.outputs[0].child_ops if pad.op_type == "pad" else ()
            if users and all(_takes_in(user, pad) for user in users):
                for conv in list(users):
                    _fold(block, pad, conv)
                block.remove_ops([pad])


def _takes_in(conv: Any, pad: Any) -> bool:
    if conv.op_type != "conv" or conv.x is not pad.outputs[0] or pad.pad.val is None:
        return False
    spatial = 2 * (conv.x.rank - 2)
    return bool(
        pad.mode.val == "constant"
        and pad.constant_val.val == 0
        and pad.outputs[0] not in pad.enclosing_block.outputs
        and conv.pad_type.val in ("valid", "custom")
        and not np.any(pad.pad.val[:-spatial])
    )


def _fold(block: Any, pad: Any, conv: Any) -> None:
    from coremltools.converters.mil.mil import Builder

    spatial = 2 * (conv.x.rank - 2)
    added = np.zeros(spatial, np.int32)
    amounts = pad.pad.val[-spatial:]
    added[spatial - amounts.size :] = amounts
    before = conv.pad.val if conv.pad_type.val == "custom" else np.zeros(spatial, np.int32)
    arguments = {name: value for name, value in conv.inputs.items() if value is not None}
    arguments |= {"x": pad.x, "pad_type": "custom", "pad": before + added}
    output = conv.outputs[0]
    folded = Builder.conv(**arguments, before_op=conv, name=conv.name)
    block.replace_uses_of_var_after_op(anchor_op=conv, old_var=output, new_var=folded)
    block.remove_ops([conv])
    folded.set_name(output.name)
