"""Element types that MIL allows together: of the arguments of an operation, and of its results.

Parameters and results are in groups. All that are in one group have one element type. The group
``T`` is that of all arguments and results that the tables do not place elsewhere. Settings (axes,
masks, names) are in none: their kind follows from the annotation of the parameter. Numbers that
only steer a computation in float32, ``epsilon`` say, are settings too; those that may become values
of the result (`VALUES`) are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mobilesdk.coreml.dtypes import ElementType

SAME, OTHER, FREE = "T", "U", ""
INTEGER, BOOLEAN = "integer", "boolean"


class Domain(StrEnum):
    """Kinds of element types; the value says it in messages."""

    FLOATS = "floats"
    NUMBERS = "floats or integers"
    INTEGERS = "integers"
    BOOLEANS = "booleans"
    ALL = "numbers or booleans"

    def has(self, element: ElementType) -> bool:
        """Tell whether an element type is of this kind."""
        if element is ElementType.STRING:
            return False
        if element is ElementType.BOOL:
            return self in (Domain.BOOLEANS, Domain.ALL)
        if element.is_float:
            return self in (Domain.FLOATS, Domain.NUMBERS, Domain.ALL)
        return self in (Domain.INTEGERS, Domain.NUMBERS, Domain.ALL)


@dataclass(frozen=True)
class Signature:
    """The groups of one operation.

    Attributes:
        groups: By parameter; what is not listed is in ``T``. ``FREE`` is no group.
        results: Group of each result; one alone is that of all.
        domain: Of ``T``.
        others: Of ``U``.
    """

    domain: Domain
    groups: dict[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = (SAME,)
    others: Domain = Domain.FLOATS

    def of_group(self, group: str) -> Domain:
        """Give the kind of element types of a group."""
        fixed = {INTEGER: Domain.INTEGERS, BOOLEAN: Domain.BOOLEANS, OTHER: self.others}
        return fixed.get(group, self.domain)


VALUES = {"clip": ("alpha", "beta"), "pad": ("constant_val",), "threshold": ("alpha",)}
"""Parameters by operation that are annotated as numbers, and whose values the result may have."""

# Of the group ``T``; that of all others are floats.
_DOMAINS = {
    Domain.NUMBERS: """
        abs add argsort cumsum einsum equal exp2 floor_div gather gather_along_axis gather_nd
        greater greater_equal less less_equal linear matmul maximum minimum mod mul not_equal pow
        range_1d real_div reduce_argmax reduce_argmin reduce_l1_norm reduce_l2_norm reduce_log_sum
        reduce_log_sum_exp reduce_max reduce_mean reduce_min reduce_prod reduce_sum
        reduce_sum_square resize scatter scatter_along_axis scatter_nd sign square sub threshold
        topk""",
    Domain.ALL: """
        band_part concat expand_dims fill fill_like flatten2d identity list_gather list_length
        list_read list_scatter list_write non_zero one_hot read_state reshape reshape_like reverse
        reverse_sequence select shape slice_by_index slice_by_size slice_update sliding_windows
        split squeeze stack tile transpose write_state""",
    Domain.BOOLEANS: "logical_and logical_not logical_or logical_xor",
}
_DOMAIN_OF = {name: domain for domain, names in _DOMAINS.items() for name in names.split()}

# From iOS 17 on, all but the first argument of these have a type of their own. Of norms they have
# it before too: coremltools writes float16 statistics beside float32 data for iOS 15.
_SEPARATE = {
    "batch_norm": "mean variance gamma beta",
    "conv": "weight bias",
    "conv_transpose": "weight bias",
    "instance_norm": "gamma beta",
    "layer_norm": "gamma beta",
    "linear": "weight bias",
    "prelu": "alpha",
    "softplus_parametric": "alpha beta",
}
_NORMS = frozenset({"batch_norm", "instance_norm", "layer_norm"})
_INDICES = {"indices": INTEGER}
_GROUPS = {
    "cast": {"x": FREE},
    "classify": {"probabilities": FREE, "classes": FREE},
    "crop_resize": {"boxes": FREE, "box_indices": INTEGER},
    "dequantize": {"input": OTHER, "zero_point": OTHER},
    "fill_like": {"ref_tensor": FREE},
    "gather": _INDICES,
    "gather_along_axis": _INDICES,
    "gather_nd": _INDICES,
    "make_list": {"elem_shape": FREE},
    "one_hot": _INDICES,
    "quantize": {"zero_point": OTHER},
    "resample": {"coordinates": FREE},
    "reshape_like": {"ref_tensors": FREE},
    "scaled_dot_product_attention": {"attn_mask": FREE},
    "scatter": _INDICES,
    "scatter_along_axis": _INDICES,
    "scatter_nd": _INDICES,
    "select": {"cond": BOOLEAN},
    "while_loop": {"loop_vars": FREE},
}
_RESULTS = {
    "argsort": (INTEGER,),
    "cast": (FREE,),
    "classify": (FREE,),
    "cond": (FREE,),
    "equal": (BOOLEAN,),
    "greater": (BOOLEAN,),
    "greater_equal": (BOOLEAN,),
    "less": (BOOLEAN,),
    "less_equal": (BOOLEAN,),
    "list_length": (INTEGER,),
    "make_list": (FREE,),
    "non_maximum_suppression": (SAME, SAME, INTEGER, INTEGER),
    "non_zero": (INTEGER,),
    "not_equal": (BOOLEAN,),
    "quantize": (OTHER,),
    "reduce_argmax": (INTEGER,),
    "reduce_argmin": (INTEGER,),
    "shape": (INTEGER,),
    "topk": (SAME, INTEGER),
    "while_loop": (FREE,),
}
_INTEGER_OTHERS = frozenset({"dequantize", "quantize"})


def signature(op_type: str, ios: int) -> Signature:
    """Give the groups of an operation in the operation set of an iOS version."""
    groups, others = _GROUPS.get(op_type, {}), Domain.FLOATS
    results = _RESULTS.get(op_type, (SAME,))
    if ios >= 17 and op_type == "matmul":
        groups, results = {"x": FREE, "y": FREE}, (FREE,)
    elif ios < 17 and op_type == "batch_norm":  # coremltools declares float16 for float32 data
        groups, results = dict.fromkeys(_SEPARATE[op_type].split(), OTHER), (FREE,)
    elif op_type in _SEPARATE and (ios >= 17 or op_type in _NORMS):
        groups = dict.fromkeys(_SEPARATE[op_type].split(), OTHER)
        others = Domain.NUMBERS if op_type == "linear" else Domain.FLOATS
    elif op_type in _INTEGER_OTHERS:
        others = Domain.INTEGERS
    return Signature(_DOMAIN_OF.get(op_type, Domain.FLOATS), groups, results, others)
