"""SavedModels, as users and enemies write them.

`read_apart` writes and reads them in a process that may import TensorFlow. Each function in it
writes a folder, and gives what the frontend is asked to read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import keras_models
from tests.apart import result_of

MARK = "written_by_the_model"
"""File that hostile models write, in the folder above their own."""


def read_apart(folder: Path, *names: str) -> Any:
    """Write and read models in a process of its own; give what came of each.

    Why: TensorFlow must not be imported beside coremltools, which tests of one process may need.
    """
    return json.loads(result_of("-m", "tests.frontends.saved_model_worker", folder, *names))


def write_apart(name: str, folder: Path) -> None:
    """Write a model in a process of its own.

    Args:
        name: Of the function below that writes it.
        folder: The SavedModel.
    """
    code = (
        "import sys; from pathlib import Path; from tests.frontends import saved_models; "
        "saved_models.import_tensorflow(); getattr(saved_models, sys.argv[1])(Path(sys.argv[2]))"
    )
    result_of("-c", code, name, folder)


def _tensorflow() -> Any:
    import tensorflow

    return tensorflow


def _keras() -> Any:
    import keras

    return keras


def exported(model: Any, folder: Path) -> str:
    """Write a Keras model on TensorFlow, with weights that show when they are lost."""
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in variable.dtype:
            values = generator.normal(size=variable.shape, scale=0.3)
            if "variance" in variable.path:
                values = np.abs(values) + 0.5
            variable.assign(values.astype("float32"))
    model.export(folder, format="tf_saved_model", verbose=False)
    return str(folder)


def tiny(folder: Path) -> str:
    """The network of the contract of frontends."""
    keras = _keras()
    layers = keras.layers
    network = [
        keras.Input((8, 8, 3)),
        layers.Conv2D(8, 3, name="conv"),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.Flatten(),
        layers.Dense(4, name="dense"),
    ]
    return exported(keras.Sequential(network), folder)


def mobilenet(folder: Path) -> str:
    """A MobileNetV2 of Keras, with weights that keep the size of what passes through."""
    keras = _keras()
    model = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None
    )
    generator = np.random.default_rng(0)
    for variable in model.variables:
        shape = variable.shape
        if len(shape) == 1:
            values = np.array(variable) + generator.normal(scale=0.1, size=shape)
        else:
            seen = np.prod(shape[:2] if "depthwise" in variable.path else shape[:-1])
            gain = 1.0 if "project" in variable.path else 2.0  # two, where a ReLU is behind
            values = generator.normal(scale=np.sqrt(gain / seen), size=shape)
        variable.assign(values.astype("float32"))
    model.export(folder, format="tf_saved_model", verbose=False)
    return str(folder)


def images(folder: Path) -> str:
    return exported(keras_models.images(_keras()), folder)


def several_inputs(folder: Path) -> str:
    return exported(keras_models.several_inputs(_keras()), folder)


def transformer(folder: Path) -> str:
    """Words, positions, attention, norms of layers."""
    keras = _keras()
    layers = keras.layers
    ids = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(20, 8, name="words")(ids)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.Dense(16, activation="gelu", name="wide")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return exported(keras.Model(ids, layers.Dense(3, name="scores")(x)), folder)


class Network:
    """Makes modules of TensorFlow around a function."""

    def __new__(cls, then: Callable[[Any, Any], Any], shape: Any = (None, 4)) -> Any:
        tf = _tensorflow()

        class Module(tf.Module):
            def __init__(self) -> None:
                super().__init__()
                weights = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
                self.kernel = tf.Variable(weights, name="dense/kernel")
                self.bias = tf.Variable(np.ones(4, "float32"), name="dense/bias")
                self.count = tf.Variable(0.0, name="count")

            @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "x")])
            def __call__(self, x: Any) -> Any:
                return {"y": then(self, x)}

        return Module()


def dense(module: Any, x: Any) -> Any:
    return _tensorflow().nn.relu(x @ module.kernel + module.bias)


def saved(module: Any, folder: Path, **signatures: Any) -> str:
    named = {name: each.__call__ for name, each in signatures.items()}
    _tensorflow().saved_model.save(module, folder, named or {"serving_default": module.__call__})
    return str(folder)


def function(folder: Path) -> str:
    return saved(Network(dense), folder)


def table(folder: Path) -> str:
    """Rows of a variable, which TensorFlow gathers without reading the whole."""
    tf = _tensorflow()

    def then(module: Any, x: Any) -> Any:
        return dense(module, tf.gather(module.kernel, tf.cast(tf.abs(x), tf.int32) % 4)[:, 1])

    return saved(Network(then), folder)


def one_of_several(folder: Path) -> str:
    """Its other signature writes a file when it runs."""
    module, other = Network(dense), Network(_writing(folder))
    module.other = other
    return saved(module, folder, first=module, second=other) + ":first"


def no_default(folder: Path) -> str:
    return one_of_several(folder).removesuffix(":first")


def unknown_signature(folder: Path) -> str:
    return one_of_several(folder).replace(":first", ":third")


def _writing(folder: Path) -> Callable[[Any, Any], Any]:
    mark = str(folder.parent / MARK)

    def then(module: Any, x: Any) -> Any:
        _tensorflow().io.write_file(mark, "here")
        return dense(module, x)

    return then


def writes_a_file(folder: Path) -> str:
    return saved(Network(_writing(folder)), folder)


def writes_a_file_when_it_is_loaded(folder: Path) -> str:
    """The graph that restores weights does it: TensorFlow's own loaders run that, mobilesdk not."""
    place = function(folder)

    def change(graph: Any) -> None:
        restore = next(f for f in graph.library.function if "restore" in f.signature.name)
        for name, text in (("name", str(folder.parent / MARK)), ("text", "here")):
            constant = restore.node_def.add(name=name, op="Const")
            constant.attr["dtype"].type = 7
            constant.attr["value"].tensor.dtype = 7
            constant.attr["value"].tensor.tensor_shape.SetInParent()
            constant.attr["value"].tensor.string_val.append(text.encode())
        restore.node_def.add(name="write", op="WriteFile", input=["name:output:0", "text:output:0"])
        restore.control_ret["write"] = "write"
        restore.signature.control_output.append("write")

    edited(folder, change)
    return place


def runs_python(folder: Path) -> str:
    tf = _tensorflow()

    def then(module: Any, x: Any) -> Any:
        return dense(module, tf.ensure_shape(tf.py_function(lambda v: v, [x], tf.float32), (1, 4)))

    return saved(Network(then), folder)


def loops(folder: Path) -> str:
    tf = _tensorflow()

    def then(module: Any, x: Any) -> Any:
        noise = tf.random.uniform((1, 4))
        (x,) = tf.while_loop(lambda v: tf.reduce_sum(v) < 9.0, lambda v: (v * 2.0,), (x,))
        return dense(module, x + noise)

    return saved(Network(then), folder)


def changes_a_variable(folder: Path) -> str:
    def then(module: Any, x: Any) -> Any:
        module.count.assign_add(1.0)
        return dense(module, x) + module.count

    return saved(Network(then), folder)


def open_shape(folder: Path) -> str:
    return saved(Network(lambda _m, x: x * 2.0, (None, None)), folder)


def damaged(folder: Path) -> str:
    place = function(folder)
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    return place


def empty(folder: Path) -> str:
    place = function(folder)
    (folder / "saved_model.pb").write_bytes(b"")
    return place


def weights_missing(folder: Path) -> str:
    place = function(folder)
    for file in (folder / "variables").iterdir():
        file.unlink()
    return place


def weights_damaged(folder: Path) -> str:
    place = function(folder)
    (file,) = (folder / "variables").glob("*.index")
    file.write_bytes(file.read_bytes()[:40])
    return place


def weights_of_another(folder: Path) -> str:
    place = function(folder)

    def change(graph: Any) -> None:
        kernel = next(n for n in graph.node if n.op == "VarHandleOp" and "kernel" in n.name)
        kernel.attr["shape"].shape.dim[0].size = 5

    edited(folder, change)
    return place


def link(folder: Path) -> str:
    place = function(folder)
    (file,) = (folder / "variables").glob("*.index")
    file.rename(folder.parent / f"{folder.name}.index")
    file.symlink_to(folder.parent / f"{folder.name}.index")
    return place


def calls_itself(folder: Path) -> str:
    place = function(folder)

    def change(graph: Any) -> None:
        inner = _inner_function(graph)
        call = next(n for f in graph.library.function for n in f.node_def if _called(n))
        copied = inner.node_def.add()
        copied.CopyFrom(call)
        copied.name = "again"
        copied.attr["f"].func.name = inner.signature.name
        del copied.input[:]
        copied.input.extend(argument.name for argument in inner.signature.input_arg)
        output = inner.signature.output_arg[0].name
        inner.ret[output] = "again:output:0"

    edited(folder, change)
    return place


def takes_its_own_result(folder: Path) -> str:
    place = function(folder)

    def change(graph: Any) -> None:
        relu = next(n for n in _inner_function(graph).node_def if n.op == "Relu")
        relu.input[0] = f"{relu.name}:activations:0"

    edited(folder, change)
    return place


def huge_constant(folder: Path) -> str:
    place = saved(Network(lambda m, x: dense(m, x) + np.float32([1, 2, 3, 4])), folder)

    def change(graph: Any) -> None:
        for node in _inner_function(graph).node_def:
            if node.op == "Const":
                node.attr["value"].tensor.tensor_shape.dim[0].size = 1 << 40

    edited(folder, change)
    return place


def _inner_function(graph: Any) -> Any:
    return next(f for f in graph.library.function if any(n.op == "Relu" for n in f.node_def))


def _called(node: Any) -> bool:
    return bool(node.op == "StatefulPartitionedCall")


def edited(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the graph in the file."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    change(model.meta_graphs[0].graph_def)
    path.write_bytes(model.SerializeToString())


GOOD = {
    each.__name__: each
    for each in (
        images,
        several_inputs,
        transformer,
        function,
        table,
        one_of_several,
        writes_a_file_when_it_is_loaded,
    )
}
REFUSED = {
    each.__name__: each
    for each in (
        no_default,
        unknown_signature,
        writes_a_file,
        runs_python,
        loops,
        changes_a_variable,
        open_shape,
        damaged,
        empty,
        weights_missing,
        weights_damaged,
        weights_of_another,
        link,
        calls_itself,
        takes_its_own_result,
        huge_constant,
    )
}


def import_tensorflow() -> None:
    """Import it as the frontend does, and Keras on it."""
    from mobilesdk.frontends import saved_model

    os.environ["KERAS_BACKEND"] = "tensorflow"
    saved_model._import_tensorflow()
