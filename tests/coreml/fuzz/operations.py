"""Sound functions that together have every operation, a few of them in their older meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilesdk.coreml.wire import write_bytes
from tests.coreml.programs import Block, Function, Text, Typed, literal, value_type

SINGLE, WHOLE, TRUTH = "float32", "int32", "bool"
VECTOR: Typed = (SINGLE, (4,))
MATRIX: Typed = (SINGLE, (2, 3))
IMAGE: Typed = (SINGLE, (1, 2, 4, 4))
COUNTS: Typed = (WHOLE, (4,))

UNARY = [
    *("abs", "acos", "asin", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "exp2", "floor"),
    *("gelu", "identity", "inverse", "log", "relu", "relu6", "round", "rsqrt", "sigmoid", "sign"),
    *("silu", "sin", "sinh", "softplus", "softsign", "sqrt", "square", "tan", "tanh"),
]
TUNED = {
    "clamped_relu": ("alpha", "beta"),
    "clip": ("alpha", "beta"),
    "elu": ("alpha",),
    "leaky_relu": ("alpha",),
    "linear_activation": ("alpha", "beta"),
    "scaled_tanh": ("alpha", "beta"),
    "sigmoid_hard": ("alpha", "beta"),
    "threshold": ("alpha",),
    "thresholded_relu": ("alpha",),
}
ARITHMETIC = ["add", "floor_div", "maximum", "minimum", "mod", "mul", "pow", "real_div", "sub"]
COMPARISONS = ["equal", "greater", "greater_equal", "less", "less_equal", "not_equal"]
SUMS = ["l1_norm", "l2_norm", "log_sum", "log_sum_exp", "mean", "prod", "sum", "sum_square"]
REDUCTIONS = [f"reduce_{name}" for name in (*SUMS, "max", "min")]


class Made(Function):
    """A function whose operations are added one by one; the last result is its output."""

    def add(self, op: str, result: Typed | bytes, *others: Typed | bytes, **given: Any) -> str:
        """Add an operation; give the name of its first result."""
        first = len(self.body.operations)
        results = {f"v{first}_{i}": of for i, of in enumerate((result, *others))}
        name = self.body.op(op, results, **given)
        self.body.outputs = self.outputs = (name,)
        return name


def of(x: Typed, opset: str = "CoreML8", **others: Typed) -> Made:
    return Made({"x": x, **others}, (), opset=opset)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def list_type(item: Typed) -> bytes:
    unknown = write_bytes(2, b"")
    return write_bytes(2, write_bytes(1, value_type(*item)) + write_bytes(2, unknown))


def elementwise() -> list[Made]:
    unary, tuned, floats, integers, truths = (of(t) for t in (VECTOR,) * 3 + (COUNTS, VECTOR))
    for op in UNARY:
        unary.add(op, VECTOR, x="x")
    for op, names in TUNED.items():
        tuned.add(op, VECTOR, x="x", **dict.fromkeys(names, np.float32(0.5)))
    channels = {"alpha": ones(2), "beta": ones(2)}
    image = of(IMAGE)
    image.add("prelu", IMAGE, x="x", alpha=ones(2))
    image.add("softplus_parametric", IMAGE, x="x", **channels)
    for op in ARITHMETIC:
        floats.add(op, VECTOR, x="x", y=np.float32(2))
        integers.add(op, COUNTS, x="x", y=ints(-1))
    integers.add("abs", COUNTS, x="x")
    integers.add("square", COUNTS, x="x")
    integers.add("cumsum", COUNTS, x="x", axis=np.int32(0))
    for op in COMPARISONS:
        held = truths.add(op, (TRUTH, (4,)), x="x", y=np.float32(1))
    for op in ("logical_and", "logical_or", "logical_xor"):
        held = truths.add(op, (TRUTH, (4,)), x=held, y=held)
    held = truths.add("logical_not", (TRUTH, (4,)), x=held)
    truths.add("select", VECTOR, cond=held, a="x", b=ones(4))
    return [unary, tuned, image, floats, integers, truths]


def reductions() -> list[Made]:
    floats, integers = of(MATRIX), of((WHOLE, (2, 3)))
    for op in REDUCTIONS:
        floats.add(op, (SINGLE, (2,)), x="x", axes=ints(-1), keep_dims=np.bool_(False))
        integers.add(op, (WHOLE, (1, 3)), x="x", axes=ints(0), keep_dims=np.bool_(True))
    for op in ("reduce_argmax", "reduce_argmin"):
        floats.add(op, (WHOLE, (2,)), x="x", axis=np.int32(1), keep_dims=np.bool_(False))
    return [floats, integers]


def products() -> list[Made]:
    attention = of((SINGLE, (1, 2, 3, 4)))
    attention.add("scaled_dot_product_attention", (SINGLE, (1, 2, 3, 4)), query="x", key="x",
                  value="x", attn_mask=ones(3, 3))  # fmt: skip
    norms = of(IMAGE)
    norms.add("instance_norm", IMAGE, x="x", gamma=ones(2), beta=ones(2))
    norms.add("l2_norm", IMAGE, x="x", epsilon=np.float32(1e-6))
    norms.add("local_response_norm", IMAGE, x="x", size=np.int32(3))
    pools = of(IMAGE)
    pools.add("l2_pool", (SINGLE, (1, 2, 2, 2)), x="x", kernel_sizes=ints(2, 2), strides=ints(2, 2),
              pad_type=Text("valid"))  # fmt: skip
    return [attention, norms, pools, *recurrent()]


def recurrent() -> list[Made]:
    made = []
    for op, gates, peak in (("rnn", 1, {}), ("gru", 3, {}), ("lstm", 4, {"initial_c": ones(1, 2)})):
        layer = of((SINGLE, (3, 1, 2)))
        results = [(SINGLE, (3, 1, 2)), *[(SINGLE, (1, 2))] * (1 + len(peak))]
        layer.add(op, *results, x="x", initial_h=ones(1, 2), weight_ih=ones(2 * gates, 2),
                  weight_hh=ones(2 * gates, 2), bias=ones(2 * gates), direction=Text("reverse"),
                  output_sequence=np.bool_(True), **peak)  # fmt: skip
        made.append(layer)
    return made


def indexed() -> list[Made]:
    new, old = of(MATRIX, n=(WHOLE, (2, 1))), of(MATRIX, "CoreML5", n=(WHOLE, (2, 1)))
    for made in (new, old):
        made.add("gather", (SINGLE, (2, 1, 3)), x="x", indices="n", axis=np.int32(0))
        made.add("gather_along_axis", (SINGLE, (2, 1)), x="x", indices="n", axis=np.int32(1))
        made.add("gather_nd", (SINGLE, (2, 3)), x="x", indices="n")
        made.add("scatter_along_axis", MATRIX, data="x", indices="n", updates=ones(2, 1),
                 axis=np.int32(1), mode=Text("div"))  # fmt: skip
        made.add("scatter_nd", MATRIX, data="x", indices="n", updates=ones(2, 3), mode=Text("max"))
        made.add("scatter", MATRIX, data="x", indices=ints(0), updates=ones(1, 3), axis=np.int32(0),
                 mode=Text("mul"))  # fmt: skip
    whole = of(COUNTS)
    whole.add("scatter", COUNTS, data="x", indices=ints(0), updates=ints(-1), axis=np.int32(0),
              mode=Text("div"))  # fmt: skip
    update = of(MATRIX)
    update.add("slice_update", MATRIX, x="x", update=ones(1, 3), begin=ints(0, 0), end=ints(1, 3))
    update.add("slice_by_size", (SINGLE, (1, 2)), x="x", begin=ints(0, 1), size=ints(1, -1))
    update.add("argsort", (WHOLE, (2, 3)), x="x", axis=np.int32(-1))
    update.add("non_zero", (WHOLE, (None, 2)), x="x")
    update.add("band_part", MATRIX, x="x", lower=np.int32(0), upper=np.int32(-1))
    return [new, old, whole, update]


def moved() -> list[Made]:
    image, small = of(IMAGE), of(MATRIX)
    deep: Typed = (SINGLE, (1, 8, 2, 2))
    there = image.add("space_to_depth", deep, x="x", block_size=np.int32(2))
    image.add("depth_to_space", IMAGE, x=there, block_size=np.int32(2))
    image.add("pixel_shuffle", IMAGE, x=there, upscale_factor=np.int32(2))
    image.add("pixel_unshuffle", deep, x="x", downscale_factor=np.int32(2))
    spread = image.add("space_to_batch", (SINGLE, (4, 2, 2, 2)), x="x", block_shape=ints(2, 2),
                       paddings=np.zeros((2, 2), np.int32))  # fmt: skip
    image.add("batch_to_space", IMAGE, x=spread, block_shape=ints(2, 2),
              crops=np.zeros((2, 2), np.int32))  # fmt: skip
    image.add("crop", (SINGLE, (1, 2, 3, 2)), x="x", crop_height=ints(1, 0), crop_width=ints(1, 1))
    image.add("flatten2d", (SINGLE, (2, 16)), x="x", axis=np.int32(2))
    small.add("reverse", MATRIX, x="x", axes=ints(0))
    small.add("reverse_sequence", MATRIX, x="x", lengths=ints(1, 3), seq_axis=np.int32(1),
              batch_axis=np.int32(0))  # fmt: skip
    wide = small.add("expand_dims", (SINGLE, (2, 1, 3)), x="x", axes=ints(1))
    small.add("squeeze", MATRIX, x=wide, axes=ints(1))
    small.add("stack", (SINGLE, (2, 2, 3)), values=["x", "x"], axis=np.int32(0))
    small.add("split", (SINGLE, (2, 1)), (SINGLE, (2, 2)), x="x", axis=np.int32(1),
              split_sizes=ints(1, 2))  # fmt: skip
    small.add("fill_like", MATRIX, ref_tensor="x", value=np.float32(2))
    small.add("reshape_like", MATRIX, x="x", ref_tensors=["x"], begins=ints(0), ends=ints(2),
              end_masks=np.array([False]))  # fmt: skip
    whole = small.add("quantize", ("int8", (2, 3)), input="x", scale=ones(2), axis=np.int32(0),
                      output_dtype=Text("int8"))  # fmt: skip
    small.add("dequantize", MATRIX, input=whole, scale=ones(2), axis=np.int32(0))
    return [image, small]


def sampled() -> list[Made]:
    resized, placed = of(IMAGE), of(IMAGE)
    large: Typed = (SINGLE, (1, 2, 8, 8))
    resized.add("resize", large, x="x", shape=ints(8, 8), resized_dims=np.int32(2),
                interpolation_mode=Text("LINEAR"), sampling_mode=Text("DEFAULT"))  # fmt: skip
    resized.add("resize_nearest_neighbor", large, x="x", target_size_height=np.int32(8),
                target_size_width=np.int32(8))  # fmt: skip
    resized.add("upsample_bilinear", large, x="x", scale_factor_height=np.float32(2),
                scale_factor_width=np.float32(2), align_corners=np.bool_(False))  # fmt: skip
    sampling = {"sampling_mode": Text("bilinear"), "padding_mode": Text("constant"),
                "padding_value": np.float32(0), "align_corners": np.bool_(True),
                "coordinates_mode": Text("normalized_minus_one_to_one")}  # fmt: skip
    placed.add("resample", (SINGLE, (1, 2, 2, 2)), x="x", coordinates=ones(1, 2, 2, 2), **sampling)
    placed.add("affine", (SINGLE, (1, 2, 2, 2)), x="x", transform_matrix=ones(1, 6),
               output_height=np.int32(2), output_width=np.int32(2), **sampling)  # fmt: skip
    cut = []
    for opset, box in (("CoreML8", 4), ("CoreML6", 5), ("CoreML5", 5)):
        made, name = of(IMAGE, opset), "boxes" if opset == "CoreML8" else "roi"
        corners = np.array([0, 1, 1, 3, 3], np.float32)[-box:]
        shape = (1, 4) if opset == "CoreML8" else (1, 1, 5, 1, 1)
        given = {name: corners.reshape(shape)}
        if opset == "CoreML8":
            given["box_indices"] = ints(0)
        size = (1, 2, 2, 2) if opset == "CoreML8" else (1, 1, 2, 2, 2)
        made.add("crop_resize", (SINGLE, size), x="x", target_height=np.int32(2),
                 target_width=np.int32(2), **given)  # fmt: skip
        cut.append(made)
    return [resized, placed, *cut]


def detected() -> list[Made]:
    new, old = of((SINGLE, (1, 4, 3))), of((SINGLE, (1, 3, 4)), "CoreML5")
    limits = {"iou_threshold": np.float32(0.5), "max_boxes": np.int32(2)}
    new.add("non_maximum_suppression", (SINGLE, (1, 4, 2)), (SINGLE, (1, 2, 2)), (WHOLE, (1, 2)),
            boxes="x", scores=ones(1, 2, 3), **limits)  # fmt: skip
    old.add("non_maximum_suppression", (SINGLE, (1, 2, 4)), (SINGLE, (1, 2, 2)), (WHOLE, (1, 2)),
            (WHOLE, (1,)), boxes="x", scores=ones(1, 3, 2), score_threshold=np.float32(0),
            **limits)  # fmt: skip
    return [new, old]


def listed() -> list[Made]:
    made, kept = of(VECTOR), list_type(VECTOR)
    held = made.add("make_list", kept, elem_shape=[np.int32(4)], init_length=np.int32(2),
                    dynamic_length=np.bool_(True), dtype=Text("fp32"))  # fmt: skip
    held = made.add("list_write", kept, ls=held, index=np.int32(3), value="x")
    held = made.add("list_scatter", kept, ls=held, indices=ints(0), value=ones(1, 4))
    made.add("list_length", (WHOLE, ()), ls=held)
    made.add("list_read", VECTOR, ls=held, index=np.int32(3))
    made.add("list_gather", (SINGLE, (2, 4)), ls=held, indices=ints(0, 3))
    return [made]


def classified() -> list[Function]:
    made = Function({"x": (SINGLE, (1, 3))}, ("label", "probs"))
    made.pictures["probs"] = (SINGLE, (1, 3))
    classes = literal(ints(5, 3, 7))
    by_label = write_bytes(1, value_type(WHOLE, ())) + write_bytes(2, value_type(SINGLE, ()))
    results = {"label": (WHOLE, ()), "probs": write_bytes(4, by_label)}
    made.body.op("classify", results, probabilities="x", classes=classes)
    return [made]


def nested() -> list[Function]:
    """Give a branch in a loop, whose body reads what is outside."""
    scalar: Typed = (WHOLE, ())
    made = Function({"x": VECTOR}, ("y",))
    made.body.op("identity", {"start": scalar}, x=np.int32(0))
    condition = Block({"i": scalar, "v": VECTOR}, ("go",))
    condition.op("less", {"go": (TRUTH, ())}, x="i", y=np.int32(2))
    branches = []
    for name, op in (("p", "relu"), ("q", "square")):
        branch = Block({}, (name,))
        branch.op(op, {name: VECTOR}, x="w")
        branches.append(branch)
    body = Block({"j": scalar, "w": VECTOR}, ("next", "made"))
    body.op("add", {"next": scalar}, x="j", y=np.int32(1))
    body.op("equal", {"first": (TRUTH, ())}, x="j", y=np.int32(0))
    body.op("cond", {"made": VECTOR}, tuple(branches), pred="first")
    results = {"k": scalar, "y": VECTOR}
    made.body.op("while_loop", results, (condition, body), loop_vars=["start", "x"])
    return [made]


def operations() -> list[Function]:
    """Give all of them."""
    makers = (elementwise, reductions, products, indexed, moved, sampled, detected, listed,
              classified, nested)  # fmt: skip
    return [made for maker in makers for made in maker()]
