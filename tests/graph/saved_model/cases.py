"""Small graphs of TensorFlow, each around one op: what goes in, and the op.

An input is written as letters and a shape: ``f`` normal numbers, ``p`` positive ones, ``u`` those
between -0.9 and 0.9, ``i`` integers from -3 to 6, ``n`` from 0 to 3, ``b`` booleans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

Build = Callable[..., Any]


class Case(NamedTuple):
    """A graph.

    Attributes:
        inputs: Kind and shape of each.
        build: Takes TensorFlow and the inputs, and gives one tensor or several.
    """

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    build: Build


IMAGE = ("f", (1, 7, 10, 4))


def _unary() -> Iterator[tuple[str, Case]]:
    by_kind = {
        "f": "Abs Asinh Atan Ceil Cos Cosh Elu Erf Erfc Exp Expm1 Floor LeakyRelu LogSoftmax Neg "
        "Relu Relu6 Rint Round Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign Square Tan "
        "Tanh",
        "p": "Log Log1p Reciprocal Inv Rsqrt Sqrt",
        "u": "Acos Asin Atanh",
        "b": "LogicalNot",
    }
    for kind, names in by_kind.items():
        for name in names.split():
            yield (
                name,
                Case(
                    ((kind, (2, 5)),), lambda tf, x, n=name: getattr(tf.raw_ops, n)(**_first(n, x))
                ),
            )
    yield "Acosh", Case((("p", (2, 5)),), lambda tf, x: tf.math.acosh(x + 1.0))
    for name in ("IsNan", "IsInf", "IsFinite"):
        yield (
            name,
            Case((("f", (2, 5)),), lambda tf, x, n=name: getattr(tf.raw_ops, n)(x=tf.math.log(x))),
        )


def _first(name: str, x: Any) -> dict[str, Any]:
    features = "Elu LeakyRelu Relu Relu6 Selu Softplus Softsign"
    if name in features.split():
        return {"features": x}
    return {"logits" if "Softmax" in name else "x": x}


def _binary() -> Iterator[tuple[str, Case]]:
    floats = (
        "AddV2 Add Sub Mul RealDiv Div DivNoNan MulNoNan Maximum Minimum SquaredDifference Atan2 "
        "FloorDiv FloorMod Less LessEqual Greater GreaterEqual"
    )
    for name in floats.split():
        call = lambda tf, x, y, n=name: getattr(tf.raw_ops, n)(x=x, y=y)  # noqa: E731
        yield name, Case((("f", (2, 5)), ("f", (5,))), call)
        yield f"{name} number", Case((("f", (2, 5)),), lambda tf, x, c=call: c(tf, x, 0.5))
        yield f"number {name}", Case((("f", (2, 5)),), lambda tf, x, c=call: c(tf, 0.5, x))
    integers = "FloorDiv FloorMod TruncateDiv TruncateMod Mod Add Sub Mul Maximum Minimum"
    for name in integers.split():
        call = lambda tf, x, y, n=name: getattr(tf.raw_ops, n)(x=x, y=y * 2 + 1)  # noqa: E731
        yield f"{name} of integers", Case((("i", (3, 5)), ("i", (5,))), call)
    for name in ("LogicalAnd", "LogicalOr"):
        call = lambda tf, x, y, n=name: getattr(tf.raw_ops, n)(x=x, y=y)  # noqa: E731
        yield name, Case((("b", (3, 4)), ("b", (4,))), call)
    for name in ("Equal", "NotEqual"):
        call = lambda tf, x, y, n=name: getattr(tf.raw_ops, n)(x=x, y=y)  # noqa: E731
        yield name, Case((("i", (3, 5)), ("i", (5,))), call)
    yield "Pow", Case((("p", (2, 3)), ("f", (2, 3))), lambda tf, x, y: tf.pow(x, y))
    yield "Pow number", Case((("p", (2, 3)),), lambda tf, x: tf.pow(x, 1.5))
    yield (
        "DivNoNan zero",
        Case((("f", (2, 3)),), lambda tf, x: tf.math.divide_no_nan(x, [0.0, 1.0, 2.0])),
    )
    yield (
        "MulNoNan zero",
        Case((("f", (2, 3)),), lambda tf, x: tf.math.multiply_no_nan(x, [0.0, 1.0, 2.0])),
    )
    yield (
        "Xdivy",
        Case(
            (("n", (4, 3)), ("p", (3,))), lambda tf, x, y: tf.math.xdivy(tf.cast(x, tf.float32), y)
        ),
    )
    yield (
        "Xlogy",
        Case(
            (("n", (4, 3)), ("p", (3,))), lambda tf, x, y: tf.math.xlogy(tf.cast(x, tf.float32), y)
        ),
    )
    yield (
        "ClipByValue",
        Case(
            (("f", (2, 5)),),
            lambda tf, x: tf.raw_ops.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.7),
        ),
    )
    yield "AddN", Case((("f", (2, 5)),), lambda tf, x: tf.add_n([x, x * 2.0, x * x]))
    yield "BiasAdd", Case((IMAGE,), lambda tf, x: tf.nn.bias_add(x, [1.0, 2.0, 3.0, 4.0]))
    yield (
        "BiasAdd NCHW",
        Case((("f", (1, 3, 4, 5)),), lambda tf, x: tf.nn.bias_add(x, [1.0, 2.0, 3.0], "NCHW")),
    )
    yield (
        "BiasAddV1",
        Case((("f", (2, 3)),), lambda tf, x: tf.raw_ops.BiasAddV1(value=x, bias=[1.0, 2.0, 3.0])),
    )
    yield "SelectV2", Case((("b", (4,)), ("f", (3, 4))), lambda tf, c, x: tf.where(c, x, 0.0))
    yield (
        "Select",
        Case(
            (("b", (3,)), ("f", (3, 4))), lambda tf, c, x: tf.raw_ops.Select(condition=c, x=x, y=-x)
        ),
    )
    yield (
        "Identity",
        Case(
            (("f", (3,)),),
            lambda tf, x: tf.raw_ops.CheckNumerics(
                tensor=tf.raw_ops.Snapshot(
                    input=tf.raw_ops.PreventGradient(input=tf.stop_gradient(tf.identity(x)))
                ),
                message="",
            ),
        ),
    )
    yield "IdentityN", Case((("f", (3,)), ("i", (2,))), lambda tf, x, y: tf.identity_n([x, y]))
    yield (
        "PlaceholderWithDefault",
        Case(
            (("f", (3,)),), lambda tf, x: x + tf.raw_ops.PlaceholderWithDefault(input=2.0, shape=())
        ),
    )
    for kind, dtype in product("fib", ("float32", "int32", "int64", "bool")):
        yield f"Cast {kind} {dtype}", Case(((kind, (3, 5)),), lambda tf, x, d=dtype: tf.cast(x, d))


def _asserted(tf: Any, x: Any) -> Any:
    check = tf.raw_ops.Assert(condition=tf.reduce_all(x < 100.0), data=["too large", x])
    with tf.control_dependencies([check]):
        return tf.identity(x)


def _convolutions() -> Iterator[tuple[str, Case]]:
    for padding, stride, dilation, kernel in product(
        ("SAME", "VALID"), (1, 2, 3), (1, 2), ((3, 3), (2, 5))
    ):
        if stride > 1 and dilation > 1:
            continue
        name = f"Conv2D {padding} {stride} {dilation} {kernel}"

        def conv(
            tf: Any, x: Any, p: str = padding, s: int = stride, d: int = dilation, k: Any = kernel
        ) -> Any:
            return tf.nn.conv2d(x, weights(tf, *k, 4, 6), s, p, dilations=d)

        yield name, Case((IMAGE,), conv)
        if dilation == 1:

            def depthwise(
                tf: Any, x: Any, p: str = padding, s: int = stride, k: Any = kernel
            ) -> Any:
                return tf.nn.depthwise_conv2d(x, weights(tf, *k, 4, 2), [1, s, s, 1], p)

            yield f"DepthwiseConv2dNative {name}", Case((IMAGE,), depthwise)
        for size in ((7, 10), (8, 9)):

            def transposed(
                tf: Any,
                x: Any,
                p: str = padding,
                s: int = stride,
                d: int = dilation,
                k: Any = kernel,
                n: Any = size,
            ) -> Any:
                reach = [(each - 1) * d + 1 for each in k]
                full = (
                    [m * s for m in n]
                    if p == "SAME"
                    else [(m - 1) * s + r for m, r in zip(n, reach, strict=True)]
                )
                return tf.nn.conv2d_transpose(
                    x, weights(tf, *k, 5, 4), [1, *full, 5], s, p, dilations=d
                )

            if dilation == 1:
                yield (
                    f"Conv2DBackpropInput {name} {size}",
                    Case((("f", (1, *size, 4)),), transposed),
                )
    yield (
        "Conv2DBackpropInput odd",
        Case(
            (("f", (1, 4, 5, 3)),),
            lambda tf, x: tf.nn.conv2d_transpose(
                x, weights(tf, 3, 3, 2, 3), [1, 7, 9, 2], 2, "SAME"
            ),
        ),
    )
    yield (
        "Conv2D EXPLICIT",
        Case(
            (IMAGE,),
            lambda tf, x: tf.nn.conv2d(
                x, weights(tf, 3, 3, 4, 2), 1, [[0, 0], [1, 2], [0, 3], [0, 0]]
            ),
        ),
    )
    yield (
        "Conv2D groups",
        Case(
            (IMAGE,),
            lambda tf, x: tf.raw_ops.Conv2D(
                input=x, filter=weights(tf, 3, 3, 2, 6), strides=[1, 1, 1, 1], padding="SAME"
            ),
        ),
    )
    yield (
        "DepthwiseConv2dNative dilated",
        Case(
            (IMAGE,),
            lambda tf, x: tf.nn.depthwise_conv2d(
                x, weights(tf, 3, 3, 4, 1), [1, 1, 1, 1], "SAME", dilations=[2, 2]
            ),
        ),
    )
    for version in ("", "V2", "V3"):

        def norm(tf: Any, x: Any, v: str = version) -> Any:
            scale, mean = tf.constant([1.0, 2.0, 3.0, 4.0]), tf.constant([0.1, 0.2, 0.3, 0.4])
            op = getattr(tf.raw_ops, f"FusedBatchNorm{v}")
            return op(
                x=x,
                scale=scale,
                offset=mean * 2.0,
                mean=mean,
                variance=scale * 0.3,
                epsilon=0.01,
                is_training=False,
            )[0]

        yield f"FusedBatchNorm{version}", Case((IMAGE,), norm)


def weights(tf: Any, *shape: int) -> Any:
    import numpy as np

    return tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)


def _pools() -> Iterator[tuple[str, Case]]:
    for name, padding, stride, kernel in product(
        ("MaxPool", "AvgPool"), ("SAME", "VALID"), (1, 2, 3), (2, 3, (3, 5))
    ):
        op = "max_pool2d" if name == "MaxPool" else "avg_pool2d"
        yield (
            f"{name} {padding} {stride} {kernel}",
            Case(
                (IMAGE,),
                lambda tf, x, o=op, p=padding, s=stride, k=kernel: getattr(tf.nn, o)(
                    x - 3.0, k, s, p
                ),
            ),
        )
    yield (
        "MaxPool EXPLICIT",
        Case(
            (IMAGE,),
            lambda tf, x: tf.nn.max_pool2d(x - 3.0, 3, 2, [[0, 0], [1, 1], [0, 2], [0, 0]]),
        ),
    )


def _products() -> Iterator[tuple[str, Case]]:
    for a, b in product((False, True), repeat=2):
        yield (
            f"MatMul {a} {b}",
            Case(
                (("f", (3, 3)),),
                lambda tf, x, a=a, b=b: tf.raw_ops.MatMul(
                    a=x, b=weights(tf, 3, 3), transpose_a=a, transpose_b=b
                ),
            ),
        )
        for op in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
            more = {"Tout": "float32"} if op.endswith("V3") else {}
            yield (
                f"{op} {a} {b}",
                Case(
                    (("f", (2, 3, 3)), ("f", (2, 3, 3))),
                    lambda tf, x, y, a=a, b=b, o=op, m=more: getattr(tf.raw_ops, o)(
                        x=x, y=y, adj_x=a, adj_y=b, **m
                    ),
                ),
            )
    for equation, *shapes in (
        ("abc,cd->abd", (2, 3, 4), (4, 5)),
        ("abc,cde->abde", (2, 3, 4), (4, 5, 2)),
        ("abcd,cde->abe", (2, 3, 4, 2), (4, 2, 5)),
        ("BNFT,BTNH->BFNH", (1, 2, 3, 4), (1, 4, 2, 5)),
        ("abcd,dbce->ae", (2, 3, 4, 2), (2, 3, 4, 5)),
        ("ab,ab->ab", (2, 3), (2, 3)),
        ("ab,cd->bdac", (2, 3), (4, 5)),
        ("abc,cb->a", (2, 3, 4), (4, 3)),
        ("BTNH,BFNH->BNFT", (1, 5, 2, 3), (1, 4, 2, 3)),
        ("...ij,jk->...ik", (2, 3, 4), (4, 5)),
    ):
        yield (
            f"Einsum {equation}",
            Case(
                (("f", shapes[0]), ("f", shapes[1])),
                lambda tf, x, y, e=equation: tf.raw_ops.Einsum(inputs=[x, y], equation=e),
            ),
        )


def _reductions() -> Iterator[tuple[str, Case]]:
    for name, kinds in (
        ("Sum", "fi"),
        ("Mean", "f"),
        ("Max", "fi"),
        ("Min", "fi"),
        ("Prod", "fi"),
        ("All", "b"),
        ("Any", "b"),
        ("EuclideanNorm", "f"),
    ):
        for kind, axes, keep in product(kinds, ([1], [0, -1], [0, 1, 2], []), (False, True)):
            yield (
                f"{name} {kind} {axes} {keep}",
                Case(
                    ((kind, (2, 3, 4)),),
                    lambda tf, x, n=name, a=axes, k=keep: getattr(tf.raw_ops, n)(
                        input=x, axis=tf.constant(a, tf.int32), keep_dims=k
                    ),
                ),
            )
    for name, axis in product(("ArgMax", "ArgMin"), (0, -1)):
        yield (
            f"{name} {axis}",
            Case(
                (("f", (3, 4)),),
                lambda tf, x, n=name, a=axis: getattr(tf.raw_ops, n)(input=x, dimension=a),
            ),
        )
    yield "TopKV2", Case((("f", (3, 7)),), lambda tf, x: tf.math.top_k(x, 4))
    for reverse, exclusive in product((False, True), repeat=2):
        yield (
            f"Cumsum {reverse} {exclusive}",
            Case((("i", (3, 4)),), lambda tf, x, r=reverse, e=exclusive: tf.cumsum(x, -1, e, r)),
        )


def _shapes() -> Iterator[tuple[str, Case]]:
    x3 = (("f", (2, 3, 4)),)
    yield "Reshape", Case(x3, lambda tf, x: tf.reshape(x, [tf.shape(x)[0], -1]))
    yield "Shape", Case(x3, _shape_numbers)
    yield (
        "Shape int64",
        Case(
            x3,
            lambda tf, x: tf.fill(tf.raw_ops.Shape(input=x, out_type=tf.int64), 2.0) * x,
        ),
    )
    yield "EnsureShape", Case(x3, lambda tf, x: tf.ensure_shape(x, [None, 3, 4]) + 1.0)
    yield "ExpandDims", Case(x3, lambda tf, x: tf.expand_dims(x, -2))
    yield (
        "Squeeze",
        Case((("f", (1, 3, 1, 4)),), lambda tf, x: (tf.squeeze(x), tf.squeeze(x, [-2]))),
    )
    yield "Transpose", Case(x3, lambda tf, x: tf.transpose(x, [2, 0, 1]))
    yield (
        "InvertPermutation",
        Case(x3, lambda tf, x: tf.transpose(x, tf.math.invert_permutation([2, 0, 1]))),
    )
    yield "ConcatV2", Case(x3, lambda tf, x: tf.concat([x, x * 2.0, tf.zeros([2, 3, 1])], -1))
    yield "Concat", Case(x3, lambda tf, x: tf.raw_ops.Concat(concat_dim=1, values=[x, x * 2.0]))
    yield "Pack", Case(x3, lambda tf, x: tf.stack([x, x * 2.0], -1))
    yield "Unpack", Case(x3, lambda tf, x: tf.unstack(x, axis=1))
    yield "Split", Case(x3, lambda tf, x: tf.split(x, 2, -1))
    yield "SplitV", Case(x3, lambda tf, x: tf.split(x, [1, -1, 1], 2))
    yield "Tile", Case(x3, lambda tf, x: tf.tile(x, [1, 2, 3]))
    yield "BroadcastTo", Case((("f", (3, 1)),), lambda tf, x: tf.broadcast_to(x, [2, 3, 4]))
    yield (
        "BroadcastArgs",
        Case(
            (("f", (3, 1)),),
            lambda tf, x: tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x), [2, 1, 4])),
        ),
    )
    yield "Fill", Case((("f", ()),), lambda tf, x: tf.fill([2, 3], x))
    yield (
        "OnesLike",
        Case(x3, lambda tf, x: x + tf.raw_ops.OnesLike(x=x) * 2.0 + tf.raw_ops.ZerosLike(x=x)),
    )
    yield "ReverseV2", Case(x3, lambda tf, x: tf.reverse(x, [0, -1]))
    yield "Roll", Case(x3, lambda tf, x: tf.roll(x, [1, -2], [0, 2]))
    yield "Pad", Case(x3, lambda tf, x: tf.pad(x, [[0, 1], [2, 0], [1, 3]]))
    yield "PadV2", Case(x3, lambda tf, x: tf.pad(x, [[0, 1], [2, 0], [1, 3]], constant_values=-7.5))
    for mode in ("REFLECT", "SYMMETRIC"):
        yield (
            f"MirrorPad {mode}",
            Case((IMAGE,), lambda tf, x, m=mode: tf.pad(x, [[0, 0], [2, 1], [0, 3], [0, 0]], m)),
        )
        yield (
            f"MirrorPad {mode} channels",
            Case(x3, lambda tf, x, m=mode: tf.pad(x, [[1, 0], [2, 1], [0, 3]], m)),
        )
    yield "SpaceToDepth", Case((("f", (1, 4, 6, 3)),), lambda tf, x: tf.nn.space_to_depth(x, 2))
    yield "DepthToSpace", Case((("f", (1, 4, 6, 12)),), lambda tf, x: tf.nn.depth_to_space(x, 2))
    yield (
        "SpaceToBatchND",
        Case((("f", (1, 5, 6, 3)),), lambda tf, x: tf.space_to_batch(x, [2, 3], [[0, 1], [1, 2]])),
    )
    yield (
        "BatchToSpaceND",
        Case(
            (("f", (6, 3, 4, 2)),),
            lambda tf, x: tf.raw_ops.BatchToSpaceND(
                input=x, block_shape=[2, 3], crops=[[0, 1], [1, 2]]
            ),
        ),
    )
    yield "Range", Case((("f", (4,)),), lambda tf, x: x + tf.cast(tf.range(1, 9, 2), tf.float32))
    yield (
        "LinSpace",
        Case((("f", (4,)),), lambda tf, x: x + tf.raw_ops.LinSpace(start=0.0, stop=1.0, num=4)),
    )


def _shape_numbers(tf: Any, x: Any) -> Any:
    raw = tf.raw_ops
    shape = raw.Shape(input=x)
    return shape * 2 + raw.Rank(input=x), raw.Size(input=x) + shape[1], x + 0.0


SLICES = {
    "plain": lambda x: x[1:, 0:2],
    "steps": lambda x: x[:, ::2, 1:5:3],
    "backwards": lambda x: x[::-1, 4:0:-2],
    "index": lambda x: x[1, :, -1],
    "ellipsis": lambda x: x[..., 2],
    "ellipsis and slice": lambda x: x[0:1, ..., 1:-1],
    "new axes": lambda x: x[:, None, 1, ..., None],
    "beyond the end": lambda x: x[0:99, -99:2],
    "nothing left out": lambda x: x[:],
}


def _parts() -> Iterator[tuple[str, Case]]:
    for name, cut in SLICES.items():
        yield f"StridedSlice {name}", Case((("f", (3, 5, 6)),), lambda _tf, x, c=cut: c(x))
    yield "Slice", Case((("f", (3, 5, 6)),), lambda tf, x: tf.slice(x, [1, 0, 2], [2, -1, 3]))
    table = ("f", (4, 3))
    yield "GatherV2 rows", Case((table, ("n", (2, 5))), lambda tf, x, i: tf.gather(x, i))
    yield (
        "GatherV2 axis",
        Case((("f", (2, 3, 4)), ("n", (2, 5))), lambda tf, x, i: tf.gather(x, i, axis=-1)),
    )
    yield (
        "GatherV2 one",
        Case((("f", (2, 3, 4)), ("n", ())), lambda tf, x, i: tf.gather(x, i, axis=2)),
    )
    yield "GatherV2 known", Case((("f", (2, 3, 4)),), lambda tf, x: tf.gather(x, [0, 2, 2], axis=1))
    yield (
        "GatherV2 batches",
        Case(
            (("f", (2, 4, 3)), ("n", (2, 5))),
            lambda tf, x, i: tf.gather(x, i, axis=1, batch_dims=1),
        ),
    )
    yield (
        "Gather",
        Case((table, ("n", (5,))), lambda tf, x, i: tf.raw_ops.Gather(params=x, indices=i)),
    )
    yield "GatherNd", Case((("f", (4, 4, 3)), ("n", (5, 2))), lambda tf, x, i: tf.gather_nd(x, i))
    yield (
        "OneHot",
        Case(
            (("n", (2, 3)),), lambda tf, i: (tf.one_hot(i, 4), tf.one_hot(i, 2, 5.0, -1.0, axis=1))
        ),
    )
    for lower, upper in ((-1, 0), (0, -1), (1, 2)):
        yield (
            f"MatrixBandPart {lower} {upper}",
            Case((("f", (4, 5)),), lambda tf, x, a=lower, b=upper: tf.linalg.band_part(x, a, b)),
        )
    for size in ((14, 20), (5, 13), (7, 10)):
        yield (
            f"ResizeBilinear {size}",
            Case(
                (IMAGE,),
                lambda tf, x, s=size: tf.raw_ops.ResizeBilinear(
                    images=x, size=s, half_pixel_centers=True
                ),
            ),
        )
        yield (
            f"ResizeBilinear corners {size}",
            Case(
                (IMAGE,),
                lambda tf, x, s=size: tf.raw_ops.ResizeBilinear(
                    images=x, size=s, align_corners=True
                ),
            ),
        )
        yield (
            f"ResizeNearestNeighbor {size}",
            Case(
                (IMAGE,),
                lambda tf, x, s=size: tf.raw_ops.ResizeNearestNeighbor(
                    images=x, size=s, half_pixel_centers=True
                ),
            ),
        )
        yield (
            f"ResizeNearestNeighbor floor {size}",
            Case(
                (IMAGE,), lambda tf, x, s=size: tf.raw_ops.ResizeNearestNeighbor(images=x, size=s)
            ),
        )
    yield "Assert", Case((("f", (3,)),), _asserted)


CASES: dict[str, Case] = dict(
    each
    for family in (_unary, _binary, _convolutions, _pools, _products, _reductions, _shapes, _parts)
    for each in family()
)

REFUSED: dict[str, tuple[str, Case]] = {
    "a resize by corners of pixels": (
        "upper left",
        Case((IMAGE,), lambda tf, x: tf.raw_ops.ResizeBilinear(images=x, size=(9, 9))),
    ),
    "a nearest resize by corners": (
        "aligns corners",
        Case(
            (IMAGE,),
            lambda tf, x: tf.raw_ops.ResizeNearestNeighbor(
                images=x, size=(9, 9), align_corners=True
            ),
        ),
    ),
    "a norm in training": (
        "training mode",
        Case(
            (IMAGE,),
            lambda tf, x: tf.raw_ops.FusedBatchNormV3(
                x=x, scale=[1.0] * 4, offset=[0.0] * 4, mean=[], variance=[], is_training=True
            )[0],
        ),
    ),
    "a shape from values": (
        "from the values of a tensor",
        Case((("n", (2,)), ("f", (4,))), lambda tf, n, x: tf.reshape(x, n)),
    ),
    "an axis from values": (
        "from the values of a tensor",
        Case((("n", ()), ("f", (4,))), lambda tf, n, x: tf.reduce_sum(x, n)),
    ),
    "a mean of integers": (
        "mean of integers",
        Case((("i", (4,)),), lambda tf, x: tf.reduce_mean(x)),
    ),
    "a step over images": (
        "over images or channels",
        Case(
            (IMAGE,),
            lambda tf, x: tf.raw_ops.MaxPool(
                input=x, ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"
            ),
        ),
    ),
    "comparing shapes": (
        "compares [3] with [4]",
        Case(
            (("f", (3,)), ("f", (4,))),
            lambda tf, x, y: tf.raw_ops.Equal(x=x, y=y, incompatible_shape_error=False),
        ),
    ),
}
