import json
import os
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import pytest
import torch
from safetensors.numpy import load_file

from mobilesdk.core.contract import Contract
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.frontends.keras import PLUGIN
from mobilesdk.graph.keras_archive import check_keras_file
from mobilesdk.graph.program import graph_module, load_program
from tests import keras_models


@pytest.fixture(scope="module")
def keras():
    return keras_models.keras_on_torch()


@pytest.fixture(scope="module")
def network(keras, tmp_path_factory):
    """The small MobileNet, its file, and the folder that the frontend wrote."""
    folder = tmp_path_factory.mktemp("network")
    model = keras_models.images(keras)
    path = keras_models.save(model, folder / "net.keras")
    read(path, folder)
    return model, path, folder / "output"


def read(path, folder, **options):
    output = folder / "output"
    output.mkdir(parents=True)
    PLUGIN.read(ModelSource(reference=str(path), **options), StepContext(output=output))
    return summary(output)


def summary(output):
    return ModelSummary.model_validate_json((output / "summary.json").read_bytes())


def assert_computes_the_same(model, output):
    """Compare both programs with Keras on the example inputs."""
    contract, example = summary(output).contract, load_file(output / "example.safetensors")
    inputs = [torch.from_numpy(example[each.name]) for each in contract.inputs]
    given = {tensor.name: value for tensor, value in zip(model.inputs, inputs, strict=True)}
    found = model(
        given if isinstance(getattr(model, "input", None), dict) else inputs[0], training=False
    )
    expected = list(found.values()) if isinstance(found, dict) else [found]
    for file in ("original.pt2", "program.pt2"):
        program = load_program(output / file)
        for seen, true in zip(graph_module(program)(*inputs), expected, strict=True):
            torch.testing.assert_close(seen, true.detach(), rtol=1e-4, atol=1e-4)


def ops(output):
    program = load_program(output / "program.pt2")
    names = (str(n.target) for n in program.graph.nodes if n.op == "call_function")
    return Counter(name.removeprefix("aten.").partition(".")[0] for name in names)


def test_a_model_computes_the_same_under_its_own_names(network):
    model, path, output = network
    assert_computes_the_same(model, output)
    contract = summary(output).contract
    assert [(each.name, each.shape) for each in contract.inputs] == [("image", (1, 32, 32, 3))]
    assert [(each.name, each.shape) for each in contract.outputs] == [("scores", (1, 10))]
    known = json.loads((output / "dependencies.json").read_text())
    assert [entry["path"] for entry in known["files"]].count(str(path)) == 1
    assert known["distributions"]["keras"]
    assert "tensorflow-cpu" not in known["distributions"]


def test_weights_lie_as_layers_take_them_with_norms_and_biases_folded(network):
    _, _, output = network
    assert [(w.name, w.role, w.shape) for w in summary(output).weights] == [
        ("stem.kernel", "conv", (8, 3, 3, 3)),
        ("depthwise.kernel", "depthwise", (8, 1, 3, 3)),
        ("squeeze.kernel", "conv", (4, 8, 1, 1)),
        ("excite.kernel", "conv", (8, 4, 1, 1)),
        ("head.kernel", "conv", (16, 8, 1, 1)),
        ("scores.kernel", "linear", (10, 16)),
    ]
    assert set(load_program(output / "program.pt2").graph_signature.parameters) == {
        f"{layer}.{part}"
        for layer in ("stem", "depthwise", "squeeze", "excite", "head", "scores")
        for part in ("kernel", "bias")
    }


def test_the_order_of_axes_is_changed_once(network):
    *_, output = network
    found = ops(output)
    assert found["permute"] == 1
    assert found["conv2d"] == 5
    assert found["add"] == 2  # the offset of the pixels, and the residual
    assert found["hardtanh"] == 2


def test_several_inputs_and_outputs_have_the_names_of_the_model(keras, tmp_path):
    model = keras_models.several_inputs(keras)
    contract = read(keras_models.save(model, tmp_path / "net.keras"), tmp_path).contract
    assert [(i.name, i.dtype) for i in contract.inputs] == [
        ("ids", "int32"),
        ("numbers", "float32"),
    ]
    assert [each.name for each in contract.outputs] == ["label", "size"]
    assert_computes_the_same(model, tmp_path / "output")


@pytest.mark.slow
def test_recurrent_layers_are_written_step_by_step(keras, tmp_path):
    model = keras_models.sequence(keras, "LSTM")
    found = read(keras_models.save(model, tmp_path / "net.keras"), tmp_path)
    assert_computes_the_same(model, tmp_path / "output")
    roles = {weight.name: weight.role for weight in found.weights}
    assert roles["recurrent.lstm_cell.kernel"] == "linear"
    assert roles["recurrent.lstm_cell.recurrent_kernel"] == "linear"


@pytest.mark.slow
def test_a_stateful_layer_has_states(keras, tmp_path):
    model = keras_models.sequence(keras, "GRU", stateful=True)
    found = read(keras_models.save(model, tmp_path / "net.keras"), tmp_path)
    (state,) = found.contract.states
    assert (state.shape, state.dtype) == ((1, 6), "float32")


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def rewritten(source, path, change=None, **entries):
    """Copy a file with other entries, and a configuration that ``change`` edits in place."""
    config = config_of(source)
    if change is not None:
        change(config)
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = json.dumps(config) if name == "config.json" else before.read(name)
            after.writestr(name, content)
        for name, content in entries.items():
            after.writestr(name, content)
    return path


def layer(config, class_name):
    return next(each for each in config["config"]["layers"] if each["class_name"] == class_name)


@pytest.fixture(scope="module")
def with_lambda(keras, tmp_path_factory):
    """A model with a Python function in it."""
    folder = tmp_path_factory.mktemp("lambda")
    ran = str(folder / "ran")
    model = keras.Sequential(
        [
            keras.Input((3,), name="x"),
            keras.layers.Lambda(lambda x: (os.makedirs(ran, exist_ok=True), x)[1]),  # noqa: PTH103
            keras.layers.Dense(2),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras on lambdas
        path = keras_models.save(model, folder / "net.keras")
    Path(ran).rmdir()
    return path, Path(ran)


def test_python_in_a_file_is_refused_and_not_run(with_lambda, tmp_path):
    path, ran = with_lambda
    with pytest.raises(
        FileRejected, match=r"a Python function \(lambda\).*would run code"
    ) as found:
        read(path, tmp_path)
    assert "--trust-model" in found.value.hint
    assert not ran.exists()


def test_python_in_a_trusted_file_runs(with_lambda, tmp_path):
    path, ran = with_lambda
    assert read(path, tmp_path, trusted=True).contract.inputs[0].name == "x"
    assert ran.exists()


FOREIGN = {
    "a layer of a script": ({"module": None}, InvalidModel, "ReLU.*of a script, whose code is not"),
    "a layer of a package": ({"module": "os"}, InvalidModel, "of os, whose code is not"),
    "a package of a like name": ({"module": "keras_hub.layers"}, InvalidModel, "of keras_hub"),
    "what is no part of models": (
        {"module": "keras.utils", "class_name": "get_file"},
        FileRejected,
        "names keras.utils.get_file",
    ),
    "an inner module that is no part of models": (
        {"module": "keras.src.saving.saving_lib"},
        FileRejected,
        "names keras.src.saving.saving_lib.ReLU",
    ),
    "a layer that loads a SavedModel": ({"class_name": "TFSMLayer"}, FileRejected, "run code"),
    "a layer with a pickled module": ({"class_name": "TorchModuleWrapper"}, FileRejected, "code"),
    "a layer that does not exist": ({"class_name": "Relu7"}, InvalidModel, "Relu7"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_part_of_keras_models_is_refused(network, what, tmp_path):
    change, error, told = FOREIGN[what]
    path = rewritten(
        network[1], tmp_path / "net.keras", lambda config: layer(config, "ReLU").update(change)
    )
    with pytest.raises(error, match=told):
        read(path, tmp_path)


def test_names_are_checked_wherever_they_stand(network, tmp_path):
    def hide(config):
        layer(config, "Conv2D")["config"]["kernel_initializer"]["config"]["seed"] = [
            {"class_name": "function", "config": "system", "module": "os"}
        ]

    path = rewritten(network[1], tmp_path / "net.keras", hide)
    with pytest.raises(InvalidModel, match="of os"):
        read(path, tmp_path)


def test_what_training_needs_is_not_loaded(network, tmp_path):
    path = rewritten(
        network[1],
        tmp_path / "net.keras",
        lambda config: config.update(
            compile_config={"loss": {"class_name": "Own", "config": {}, "module": "mine"}}
        ),
    )
    check_keras_file(path, trusted=False)


def test_hostile_archives_are_refused(network, tmp_path):
    path = rewritten(network[1], tmp_path / "net.keras", **{"../escape": "x"})
    with pytest.raises(FileRejected, match="leads outside"):
        read(path, tmp_path)
    assert not (tmp_path.parent / "escape").exists()


def test_links_of_weights_are_not_followed(network, tmp_path):
    weights = tmp_path / "weights.h5"
    with h5py.File(weights, "w") as file:
        file["layers"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/layers")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("layers")
    content = weights.read_bytes()
    with zipfile.ZipFile(network[1]) as before, zipfile.ZipFile(tmp_path / "x.keras", "w") as after:
        after.writestr("config.json", before.read("config.json"))
        after.writestr("metadata.json", before.read("metadata.json"))
        after.writestr("model.weights.h5", content)
    with pytest.raises(InvalidModel, match=r"cannot load x\.keras"):
        read(tmp_path / "x.keras", tmp_path)


def test_files_that_are_no_keras_3_model_are_refused(tmp_path):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something", "x")
    with pytest.raises(InvalidModel, match=r"no config\.json"):
        read(path, tmp_path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
    with pytest.raises(InvalidModel, match=r"config\.json cannot be read"):
        read(path, tmp_path / "b")


def test_a_state_file_beside_it_is_refused(network, tmp_path):
    with pytest.raises(InvalidModel, match=r"holds its weights, and w\.pt was given"):
        read(network[1], tmp_path, weights=tmp_path / "w.pt")


def test_an_open_shape_needs_a_contract(keras, tmp_path):
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="scores")(image))
    path = keras_models.save(model, tmp_path / "net.keras")
    with pytest.raises(InvalidModel, match=r"\[None, None, None, 3\]: axis 1 is open") as found:
        read(path, tmp_path / "a")
    assert "--contract" in found.value.hint
    tensor = {"dtype": "float32"}
    given = {
        "inputs": [tensor | {"name": "pixels", "shape": (1, 8, 8, 3)}],
        "outputs": [tensor | {"name": "scores", "shape": (1, 6, 6, 2), "kind": "other"}],
    }
    contract = Contract.model_validate(given)
    assert read(path, tmp_path / "b", contract=contract).contract.inputs[0].shape == (1, 8, 8, 3)


def test_models_that_do_not_compute_in_float32_are_refused(keras, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_float16")])
    with pytest.raises(InvalidModel, match=r"dense.*computes in mixed_float16"):
        read(keras_models.save(model, tmp_path / "net.keras"), tmp_path)
