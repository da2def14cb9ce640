import json

import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from mobilesdk.core.contract import Contract
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import (
    ArtifactInvalid,
    ConversionFailed,
    InvalidContract,
    InvalidModel,
)
from mobilesdk.frontends.torch import PLUGIN
from mobilesdk.graph.fidelity import check_fidelity
from mobilesdk.graph.program import export_program, graph_module, load_program

HEADER = """
import torch
from torch import nn
from mobilesdk import ArrayInput, ImageInput, ModelSpec, TokenInput

def lambda_(function):
    class Lambda(nn.Module):
        def forward(self, x):
            return function(x)
    return Lambda().eval()

X = torch.ones(1, 3)
"""
NETWORK = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.embedding = nn.Embedding(20, 4)
    def forward(self, image, pair, extra):
        scale, shift = pair
        features = self.conv(image).mean((2, 3)) * scale + shift
        words = self.embedding(extra["ids"]).mean(1)
        return {"scores": features + words, "parts": (features, extra["ids"] + 1)}

EXAMPLE = (torch.rand(1, 3, 8, 8), (torch.ones(1, 4), torch.ones(1, 4)),
           {"ids": torch.arange(5)[None]})
"""
IMAGE = "lambda_(lambda x: x.mean((2, 3))), (torch.rand(1, 3, 8, 6),)"


@pytest.fixture
def read(tmp_path):
    def read(body, contract=None, *, header=HEADER, function="build", weights=None):
        source = tmp_path / "model_under_test.py"
        source.write_text(header + body)
        output = tmp_path / "output"
        output.mkdir()
        reference = f"{source}:{function}"
        given = ModelSource(reference=reference, contract=contract, weights=weights)
        PLUGIN.read(given, StepContext(output=output))
        return ModelSummary.model_validate_json((output / "summary.json").read_bytes())

    return read


def returning(text):
    return f"\ndef build():\n    return {text}\n"


def test_structures_become_leaves_with_names(read, tmp_path):
    summary = read(NETWORK + returning("Net().eval(), EXAMPLE"))
    contract = summary.contract
    assert [each.name for each in contract.inputs] == ["image", "pair_0", "pair_1", "extra_ids"]
    assert [each.dtype for each in contract.inputs] == ["float32"] * 3 + ["int64"]
    assert [each.name for each in contract.outputs] == ["scores", "parts_0", "parts_1"]
    assert summary.family == "vision"
    example = load_file(tmp_path / "output/example.safetensors")
    assert set(example) == {each.name for each in contract.inputs}
    for file in ("original.pt2", "program.pt2"):
        program = load_program(tmp_path / "output" / file)
        inputs = [torch.from_numpy(example[each.name]) for each in contract.inputs]
        outputs = graph_module(program)(*inputs)
        assert isinstance(outputs, tuple)
        assert [tuple(each.shape) for each in outputs] == [o.shape for o in contract.outputs]
        assert torch.equal(outputs[2], inputs[3] + 1)


def test_a_spec_names_and_describes_everything(read):
    summary = read(
        NETWORK
        + """
def build():
    return ModelSpec(
        Net().eval(), EXAMPLE,
        inputs={"photo": ImageInput(size=(8, 8), mean=127.0, std=128.0), "gain": ArrayInput(),
                "offset": ArrayInput(), "words": TokenInput(vocabulary_size=20)},
        outputs={"logits": "classification", "features": "embedding", "next": "tokens"},
        labels=("a", "b", "c", "d"), family="transformer")
"""
    )
    contract = summary.contract
    assert [each.name for each in contract.inputs] == ["photo", "gain", "offset", "words"]
    assert contract.inputs[0].preparation.std == 128.0
    kinds = [(each.name, each.kind) for each in contract.outputs]
    assert kinds == [("logits", "classification"), ("features", "embedding"), ("next", "tokens")]
    assert (contract.labels, summary.family) == (("a", "b", "c", "d"), "transformer")


def test_a_contract_from_a_file_replaces_the_factorys(read):
    given = Contract.model_validate(
        {
            "inputs": [{"name": "pixels", "shape": (1, 3, 8, 6), "dtype": "float32",
                        "preparation": {"kind": "image", "size": (8, 6), "std": 255.0}}],
            "outputs": [{"name": "means", "shape": (1, 3), "dtype": "float32"}],
        }
    )  # fmt: skip
    summary = read(
        returning(f"ModelSpec({IMAGE}, inputs={{'x': ArrayInput()}}, family='other')"), given
    )
    assert summary.contract == given.model_copy(update={"family": "other"})


BAD_MODELS = {
    "no function": ("def bulid(): pass", "no function 'build'.*did you mean 'bulid'"),
    "import error": ("import not_there", "ModuleNotFoundError.*not_there"),
    "syntax error": ("def build(:", "SyntaxError"),
    "raises": ("def build():\n    raise KeyError('weights')", "raised KeyError"),
    "exits": ("def build():\n    raise SystemExit(3)", "raised SystemExit"),
    "returns nothing": (returning("None"), "returned a NoneType"),
    "returns no module": (returning("(lambda x: x), (X,)"), "returned a tuple"),
    "spec of no module": (returning("ModelSpec(3, (X,))"), "ModelSpec whose module is a int"),
    "training": (returning("nn.Linear(3, 3), (X,)"), "training mode"),
    "half": (returning("nn.Linear(3, 3).half().eval(), (X.half(),)"), "is float16"),
    "double input": (returning("lambda_(lambda x: x), (X.double(),)"), "float64"),
    "no tensor in": (returning("lambda_(lambda x: x), (3,)"), "'x' is a int"),
    "no tensor out": (returning("lambda_(lambda x: 3), (X,)"), "is a int"),
    "too many": (returning("lambda_(lambda x: x), (X, X)"), "do not fit forward"),
    "does not run": (returning("nn.Linear(4, 4).eval(), (X,)"), "does not run"),
    "input given back": (
        returning("lambda_(lambda x: (x + 1, x)), (X,)"),
        "'output_1' is the input 'x' itself",
    ),
    "copy of the input": (
        returning("lambda_(lambda x: nn.functional.dropout(x, training=False)), (X,)"),
        "'output_0' is the input 'x' itself",
    ),
    "one value twice": (
        returning("lambda_(lambda x: 2 * (x + 1,)), (X,)"),
        "'output_1' is the output 'output_0' itself",
    ),
    "not finite": (returning("lambda_(lambda x: x / 0), (X,)"), "infinite numbers or NaN"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_refused_with_the_reason(read, name):
    body, reason = BAD_MODELS[name]
    with pytest.raises(InvalidModel, match=f"(?s){reason}") as caught:
        read(body)
    assert caught.value.hint


BAD_CONTRACTS = {
    "names": ("ModelSpec(lambda_(lambda x: x), (X,), inputs=dict(a=ArrayInput(), b=ArrayInput()))",
              r"names 2 \(a, b\), but the model has 1 \(x\)"),
    "outputs": ("ModelSpec(lambda_(lambda x: (x, x + 1)), (X,), outputs={'y': 'other'})",
                "names 1"),
    "kind": ("ModelSpec(lambda_(lambda x: x + 1), (X,), outputs={'y': 'features'})",
             "output 'y' is of the kind 'features'"),
    "identifier": ("ModelSpec(lambda_(lambda x: x), (X,), inputs={'my input': ArrayInput()})",
                   "not an identifier"),
    "size": (f"ModelSpec({IMAGE}, inputs={{'x': ImageInput(size=(6, 8))}})", "6 by 8 pixels"),
    "layout": (f"ModelSpec({IMAGE}, inputs={{'x': ImageInput(size=(8, 6), layout='NHWC')}})",
               "NHWC is float32"),
    "ids": ("ModelSpec(lambda_(lambda x: x), (X,), inputs={'x': TokenInput()})", "int64 or int32"),
    "labels": ("ModelSpec(lambda_(lambda x: x), (X,), outputs={'y': 'classification'}, "
               "labels=('a',))", "1 labels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CONTRACTS)
def test_a_contract_that_contradicts_the_model_is_refused(read, name):
    text, reason = BAD_CONTRACTS[name]
    with pytest.raises(InvalidContract, match=reason) as caught:
        read(returning(text))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("field", "value"), [("shape", (1, 4)), ("dtype", "int64"), ("name", "not a name")]
)
def test_a_contract_file_that_contradicts_the_model_is_refused(read, field, value):
    tensor = {"name": "x", "shape": (1, 3), "dtype": "float32"}
    given = {"inputs": [tensor | {field: value}], "outputs": [tensor | {"name": "y"}]}
    with pytest.raises(InvalidContract):
        read(returning("lambda_(lambda x: x + 1), (X,)"), Contract.model_validate(given))


COUNTER = """
class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
    def forward(self, x):
        self.count += 1
        return x + self.count
def build():
    return Counter().eval(), (X,)
"""


def test_what_cannot_be_exported_is_refused_with_the_reason(read):
    with pytest.raises(ConversionFailed, match=r"(?s)data-dependent") as caught:
        read(returning("lambda_(lambda x: x if x.sum() > 0 else -x), (X,)"))
    assert caught.value.hint


def test_buffers_that_change_are_states_of_the_contract(read, tmp_path):
    (state,) = read(COUNTER).contract.states
    assert (state.name, state.shape, state.dtype) == ("count", (1,), "float32")
    program = load_program(tmp_path / "output/original.pt2")
    output, count = graph_module(program)(torch.ones(1, 3), torch.zeros(1))
    assert (output.tolist(), count.tolist()) == ([[2.0, 2.0, 2.0]], [1.0])


def test_states_that_a_contract_states_have_to_be_those_of_the_model(read):
    given = {
        "inputs": [{"name": "x", "shape": [1, 3], "dtype": "float32"}],
        "outputs": [{"name": "y", "shape": [1, 3], "dtype": "float32"}],
        "states": [{"name": "total", "shape": [1], "dtype": "float32"}],
    }
    with pytest.raises(InvalidContract, match=r"not those of the model: count float32\[1\]"):
        read(COUNTER, Contract.model_validate(given))


@pytest.mark.parametrize("reference", ["not_there_at_all:build", "not/there.py:build"])
def test_what_is_not_there_is_said_so(reference, tmp_path):
    with pytest.raises(InvalidModel, match="There is no"):
        PLUGIN.read(ModelSource(reference=reference), StepContext(output=tmp_path))


def test_an_import_error_inside_of_a_module_is_not_a_missing_module(tmp_path, monkeypatch):
    (tmp_path / "broken_zoo").mkdir()
    (tmp_path / "broken_zoo/__init__.py").write_text("import missing_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InvalidModel, match=r"(?s)raised ModuleNotFoundError.*missing_dependency"):
        source = ModelSource(reference="broken_zoo.nets:build")
        PLUGIN.read(source, StepContext(output=tmp_path))


def test_dependencies_are_what_was_read(tmp_path, read):
    (tmp_path / "part_of_model.py").write_text("WIDTH = 3\n")
    torch.save({"weight": torch.ones(3, 3)}, tmp_path / "state.pt")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "unused.txt").write_text("x")
    read(
        f"""
import part_of_model
from pathlib import Path
def build():
    linear = nn.Linear(part_of_model.WIDTH, 3, bias=False)
    linear.load_state_dict(torch.load({str(tmp_path / "state.pt")!r}))
    labels = tuple(Path({str(tmp_path / "labels.txt")!r}).read_text().split())
    Path({str(tmp_path / "log.txt")!r}).write_text("written, not read")
    return ModelSpec(linear.eval(), (X,), outputs={{"y": "classification"}}, labels=labels)
"""
    )
    known = json.loads((tmp_path / "output/dependencies.json").read_text())
    names = {path for entry in known["files"] if (path := entry["path"]).startswith(str(tmp_path))}
    expected = {"labels.txt", "model_under_test.py", "part_of_model.py", "state.pt"}
    assert {path.rpartition("/")[2] for path in names} == expected
    assert {"torch", "numpy"} <= set(known["distributions"])
    assert "pytest" not in {entry["path"].rpartition("/")[2] for entry in known["files"]}


ATTENTION = """
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return WAY
def build():
    return Attention().eval(), (torch.rand(1, 5, 8),)
"""


@pytest.mark.parametrize(
    ("way", "family"),
    [
        ("(q @ k.transpose(1, 2)).softmax(-1) @ v", "transformer"),
        ("nn.functional.scaled_dot_product_attention(q, k, v)", "transformer"),
        ("(q * k).softmax(-1) * v", "other"),
    ],
)
def test_the_family_is_seen_from_the_ops(read, way, family):
    assert read(ATTENTION.replace("WAY", way)).family == family


def one_tensor(width):
    tensor = {"shape": (1, width), "dtype": "float32"}
    return Contract.model_validate(
        {"inputs": [tensor | {"name": "x"}], "outputs": [tensor | {"name": "y"}]}
    )


def test_a_preparation_that_changes_the_model_is_caught():
    x = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    linear, other = nn.Linear(8, 8).eval(), nn.Linear(8, 8).eval()
    other.load_state_dict(linear.state_dict())
    with torch.no_grad():
        other.weight[1, 2] += 1e-2
    original, changed = export_program(linear, [x]), export_program(other, [x])
    assert check_fidelity(original, original, [x], one_tensor(8), 0) == float("inf")
    with pytest.raises(ArtifactInvalid, match="'y'"):
        check_fidelity(original, changed, [x], one_tensor(8), 0)


class Cancelling(nn.Module):
    """Loses digits: adds a large number and takes it away again, on a grid that is shifted."""

    def __init__(self, offset, shift):
        super().__init__()
        self.offset, self.shift = offset, shift

    def forward(self, x):
        return ((x + self.shift) + self.offset) - self.offset - self.shift


def test_a_network_of_little_precision_has_to_reach_its_own_floor_only():
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    original = export_program(Cancelling(3e4, 0.0), [x])
    rounded_otherwise = export_program(Cancelling(3e4, 0.0013), [x])
    assert check_fidelity(original, rounded_otherwise, [x], one_tensor(64), 0) < 80.0
    with pytest.raises(ArtifactInvalid, match="'y'"):
        check_fidelity(original, export_program(Cancelling(9e5, 0.0), [x]), [x], one_tensor(64), 0)


def test_a_state_file_is_loaded_and_recorded(tmp_path, read):
    state = {"weight": torch.eye(3) * 2, "bias": torch.zeros(3)}
    torch.save(state, tmp_path / "state.pt")
    read(returning("nn.Linear(3, 3).eval(), (X,)"), weights=tmp_path / "state.pt")
    program = load_program(tmp_path / "output/program.pt2")
    assert torch.equal(graph_module(program)(torch.ones(1, 3))[0], torch.full((1, 3), 2.0))
    known = json.loads((tmp_path / "output/dependencies.json").read_text())
    assert str(tmp_path / "state.pt") in [entry["path"] for entry in known["files"]]
