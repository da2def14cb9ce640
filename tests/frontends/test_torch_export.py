import contextlib
import io
import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from mobilesdk.core.contract import Contract
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import FileRejected, InvalidContract, InvalidModel
from mobilesdk.frontends.torch_export import PLUGIN
from mobilesdk.graph.program import graph_module, load_program
from mobilesdk.graph.pt2_archive import read_foreign_program
from mobilesdk.graph.pt2_check import checked_description

X = torch.arange(6.0).reshape(2, 3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.embedding = nn.Embedding(20, 4)
        self.head = nn.Linear(4, 20, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("gain", torch.ones(4))
        self.offset = torch.full((4,), 2.0)

    def forward(self, image, pair, *, extra):
        scale, shift = pair
        features = self.norm(self.conv(image)).mean((2, 3)) * scale + shift * self.gain
        with torch.no_grad():
            words = self.embedding(extra["ids"]).mean(1) + self.offset
        return {"scores": self.head(features + words), "parts": (features, None)}


EXAMPLE = (torch.rand(1, 3, 8, 8), (torch.ones(1, 4), torch.ones(1, 4)))
EXTRA = {"extra": {"ids": torch.arange(5)[None]}}


def export(path, module, *arguments, functional=False, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, arguments, **options)
        torch.export.save(program.run_decompositions({}) if functional else program, path)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A module with tied weights, a buffer, a constant and nested inputs, and its file."""
    torch.manual_seed(0)
    module = Net().eval()
    path = tmp_path_factory.mktemp("network") / "net.pt2"
    return module, export(path, module, *EXAMPLE, kwargs=EXTRA)


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    torch.manual_seed(0)
    return export(tmp_path_factory.mktemp("linear") / "net.pt2", nn.Linear(3, 2).eval(), X)


def rewritten(source, path, change):
    """Copy an archive; ``change`` gives other bytes for a record, or None for the same."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            other = change(name, content)
            after.writestr(name, content if other is None else other)
    return path


def described(source, path, change):
    """Copy an archive with another description of the program; ``change`` edits it in place."""

    def edit(name, content):
        if not name.endswith("models/model.json"):
            return None
        description = json.loads(content)
        change(description)
        return json.dumps(description).encode()

    return rewritten(source, path, edit)


def read(path, folder, **options):
    output = folder / "output"
    output.mkdir()
    PLUGIN.read(ModelSource(reference=str(path), **options), StepContext(output=output))
    return ModelSummary.model_validate_json((output / "summary.json").read_bytes())


def test_a_program_is_read_with_its_names_and_computes_the_same(network, tmp_path):
    module, path = network
    contract = read(path, tmp_path).contract
    assert [each.name for each in contract.inputs] == ["image", "pair_0", "pair_1", "extra_ids"]
    assert [each.name for each in contract.outputs] == ["scores", "parts_0"]
    example = load_file(tmp_path / "output/example.safetensors")
    assert np.array_equal(example["image"], EXAMPLE[0].numpy())
    expected = module(*EXAMPLE, **EXTRA)
    for file in ("original.pt2", "program.pt2"):
        program = load_program(tmp_path / "output" / file)
        scores, features = graph_module(program)(
            *(torch.from_numpy(example[each.name]) for each in contract.inputs)
        )
        torch.testing.assert_close(scores, expected["scores"])
        torch.testing.assert_close(features, expected["parts"][0])
    known = json.loads((tmp_path / "output/dependencies.json").read_text())
    assert str(path) in [entry["path"] for entry in known["files"]]


def test_tied_weights_stay_tied(network):
    program = read_foreign_program(network[1])
    head, embedding = (program.state_dict[f"{name}.weight"] for name in ("head", "embedding"))
    assert head.data_ptr() == embedding.data_ptr()


def test_a_contract_from_a_file_names_and_describes(linear, tmp_path):
    tensor = {"dtype": "float32"}
    given = {
        "inputs": [tensor | {"name": "features", "shape": (2, 3)}],
        "outputs": [tensor | {"name": "logits", "shape": (2, 2), "kind": "classification"}],
        "labels": ("a", "b"),
    }
    summary = read(linear, tmp_path, contract=Contract.model_validate(given))
    assert summary.contract.outputs[0].kind == "classification"
    given["inputs"][0]["shape"] = (2, 4)
    with pytest.raises(InvalidContract, match="features"):
        (tmp_path / "other").mkdir()
        read(linear, tmp_path / "other", contract=Contract.model_validate(given))


def test_sizes_that_were_dynamic_are_those_of_the_example(tmp_path):
    size = torch.export.Dim("n", min=2, max=8)
    path = export(
        tmp_path / "net.pt2",
        nn.Sequential(nn.Flatten(), nn.Linear(3, 2)).eval(),
        torch.rand(4, 3, 1),
        dynamic_shapes=({0: size},),
    )
    (given,) = read(path, tmp_path).contract.inputs
    assert given.shape == (4, 3, 1)


class Total(nn.Module):
    """Adds up its inputs in a buffer, and counts its calls in one that is not saved."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Module()
        self.inner.register_buffer("total", torch.zeros(1, 3))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64), persistent=False)
        self.register_buffer("gain", torch.full((3,), 2.0))

    def forward(self, x):
        self.inner.total += x * self.gain
        self.count += 1
        return self.inner.total / self.count


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_buffers_that_a_program_changes_are_states(tmp_path, functional, trusted):
    path = export(tmp_path / "net.pt2", Total().eval(), X[:1], functional=functional)
    contract = read(path, tmp_path, trusted=trusted).contract
    assert {state.name for state in contract.states} == {"inner_total", "count"}
    module = graph_module(load_program(tmp_path / "output/program.pt2"))
    states = [torch.zeros(s.shape, dtype=getattr(torch, s.dtype)) for s in contract.states]
    eager = Total().eval()
    for x in (X[:1], X[1:], -X[:1]):
        output, *states = module(x, *states)
        torch.testing.assert_close(output, eager(x))


def test_a_program_whose_state_has_left_zero_is_refused(tmp_path):
    module = Total().eval()
    module(X[:1])
    path = export(tmp_path / "net.pt2", module, X[:1])
    with pytest.raises(InvalidModel, match="does not start at zeros"):
        read(path, tmp_path)


class WritesAFile:
    """When it is unpickled, a file is written."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def pickled_sample_inputs(bomb):
    def change(name, content):
        return saved(((bomb,), {})) if name.endswith("sample_inputs/model.pt") else None

    return change


def pickled_weight(bomb):
    def change(name, content):
        if name.endswith("weights/weight_0"):
            return saved(bomb)
        if not name.endswith("model_weights_config.json"):
            return None
        config = json.loads(content)
        for entry in config["config"].values():
            entry["use_pickle"] = True
        return json.dumps(config).encode()

    return change


def pickled_constant(bomb):
    def change(name, content):
        if not name.endswith("model_constants_config.json"):
            return None
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
        return json.dumps({"config": {"evil": entry | {"tensor_meta": None}}}).encode()

    return change


@pytest.mark.parametrize("pickled", [pickled_sample_inputs, pickled_weight, pickled_constant])
def test_a_hostile_pickle_is_refused_and_does_not_run(linear, tmp_path, pickled):
    written = tmp_path / "written"
    bomb = WritesAFile(written)
    path = rewritten(linear, tmp_path / "evil.pt2", pickled(bomb))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/constants/opaque_obj_0", pickle.dumps(bomb))
    with pytest.raises(FileRejected, match=r"would run code") as caught:
        read(path, tmp_path)
    assert "--trust-model" in caught.value.hint
    assert not written.exists()


def test_a_trusted_file_is_loaded_by_torch_and_may_run_code(linear, tmp_path):
    written = tmp_path / "written"
    bomb = WritesAFile(written)
    path = rewritten(linear, tmp_path / "evil.pt2", pickled_sample_inputs(bomb))
    with pytest.raises(InvalidModel, match=r"torch\.export\.load"):
        read(path, tmp_path, trusted=True)
    assert written.exists()  # so the test above would see it
    (tmp_path / "plain").mkdir()
    assert read(linear, tmp_path / "plain", trusted=True).weights[0].role == "linear"


def node(description):
    return description["graph_module"]["graph"]["nodes"][0]


def signature(description):
    return description["graph_module"]["module_call_graph"][0]["signature"]


def structure(kind, context):
    leaf = {"type": None, "context": None, "children_spec": []}
    return json.dumps([1, {"type": kind, "context": context, "children_spec": [leaf]}])


def set_size(description, text):
    meta = next(iter(description["graph_module"]["graph"]["tensor_values"].values()))
    meta["sizes"][0] = {"as_expr": {"expr_str": text, "hint": {"as_int": 2}}}


HOSTILE = {
    "any function of torch": lambda d: node(d).update(target="torch.serialization.os.system"),
    "any function behind an op": lambda d: node(d).update(target="torch.ops.os.system.default"),
    "an op that opens files": lambda d: node(d).update(target="torch.ops.aten.from_file.default"),
    "an extension": lambda d: node(d).update(target="#evil:op"),
    "code in a name": lambda d: node(d).update(name="x = __import__('os').system('true') #"),
    "code in a key": lambda d: d["graph_module"]["graph"]["tensor_values"].update({"x)": {}}),
    "code in an argument's name": lambda d: node(d)["inputs"][0].update(name="a=print()"),
    "code in a size": lambda d: set_size(d, "__import__('os').system('true')"),
    "an imported module": lambda d: signature(d).update(
        in_spec=structure("collections.defaultdict", "{}")
    ),
    "an imported enumeration": lambda d: signature(d).update(
        out_spec=structure("builtins.dict", '[{"__enum__": true, "fqn": "antigravity:x"}]')
    ),
    "a structure that is none": lambda d: signature(d).update(out_spec="[[[["),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_description_that_could_run_code_is_refused(linear, tmp_path, name):
    path = described(linear, tmp_path / "evil.pt2", HOSTILE[name])
    with pytest.raises(FileRejected, match=r"The program holds") as caught:
        read_foreign_program(path)
    assert caught.value.hint


def test_torch_itself_would_run_code_of_a_description(linear, tmp_path):
    """The control of the test above: without the check, a size is Python."""
    written = tmp_path / "written"
    code = f"__import__('os').system('touch {written}')"
    path = described(linear, tmp_path / "evil.pt2", lambda d: set_size(d, code))
    with pytest.raises(FileRejected):
        read_foreign_program(path)
    assert not written.exists()
    with contextlib.suppress(Exception):  # whatever torch makes of it afterwards
        torch.export.load(path)
    assert written.exists()


def test_traces_and_guards_are_not_read(linear, tmp_path):
    def change(description):
        description["guards_code"] = ["__import__('os').abort()"]
        node(description)["metadata"] = {"nn_module_stack": "x(", "stack_trace": "\0"}

    program = read_foreign_program(described(linear, tmp_path / "net.pt2", change))
    assert program._guards_code == []
    expected = torch.export.load(linear).module()(X)
    assert torch.equal(graph_module(program)(X)[0], expected)


@pytest.mark.parametrize(
    "size",
    [
        "2*s0 + FloorDiv(s1, 3) - Max(1, u12)",
        "Add(Mul(Integer(-2), Symbol('s31', positive=True, integer=True)), Integer(7))",
    ],
)
def test_sizes_with_symbols_are_let_through(size):
    assert checked_description({"expr_str": size}) == {"expr_str": size}


@pytest.mark.parametrize(
    "size",
    [
        "9**9**9",
        "Pow(Integer(9), Integer(9))",
        "Symbol('s1', a=print())",
        "Symbol('s1').x",
        "Integer",
        "1" * 300 + "x",
        "eval(s1)",
    ],
)
def test_a_size_that_is_more_than_arithmetic_is_refused(size):
    with pytest.raises(FileRejected, match="more than arithmetic"):
        checked_description({"expr_str": size})


def test_compiled_libraries_are_refused(linear, tmp_path):
    path = rewritten(linear, tmp_path / "evil.pt2", lambda name, content: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/aotinductor/model/evil.so", b"")
    with pytest.raises(FileRejected, match=r"compiled library"):
        read_foreign_program(path)


def test_a_weight_that_is_larger_than_its_bytes_is_refused(linear, tmp_path):
    def change(name, content):
        return content[:-4] if name.endswith("weights/weight_0") else None

    with pytest.raises(InvalidModel, match=r"cannot be read: RuntimeError"):
        read_foreign_program(rewritten(linear, tmp_path / "net.pt2", change))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no archive", "no archive"), (None, "holds 0 programs")],
)
def test_what_is_no_program_is_told(tmp_path, content, reason):
    path = tmp_path / "net.pt2"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("serialized_exported_program.json", "{}")
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidModel, match=reason) as caught:
        read_foreign_program(path)
    assert caught.value.hint


def test_an_archive_that_leads_outside_is_refused_with_and_without_trust(linear, tmp_path):
    path = rewritten(linear, tmp_path / "evil.pt2", lambda name, content: None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil", b"")
    for trusted in (False, True):
        folder = tmp_path / str(trusted)
        folder.mkdir()
        with pytest.raises(FileRejected, match="leads outside"):
            read(path, folder, trusted=trusted)


def test_a_program_in_training_mode_is_refused(tmp_path):
    path = export(tmp_path / "net.pt2", nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), X)
    with pytest.raises(InvalidModel, match=r"training mode: dropout"):
        read(path, tmp_path)


def test_a_state_file_beside_a_program_is_refused(linear, tmp_path):
    with pytest.raises(InvalidModel, match="holds its weights"):
        read(linear, tmp_path, weights=Path("state.pt"))
