"""Rows on models: what a factory gives or does."""

import json
import sys
import zipfile

import pytest

from mobilesdk.core.model import ModelSummary
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepContext
from mobilesdk.errors import MobileSDKError
from mobilesdk.frontends import keras
from mobilesdk.frontends.torch import PLUGIN

from .table import ROWS

HEADER = """
import torch
from torch import nn
from mobilesdk import ArrayInput, Dimension, ImageInput, ModelSpec

class Net(nn.Module):
    def __init__(self, then=lambda x: x):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.register_buffer("mask", torch.zeros(4))
        self.then = then
    def forward(self, x):
        x = self.a(x) + self.mask
        return self.then(x)

class Two(nn.Module):
    def forward(self, x_0, x):
        return x_0 + x[0]

X = torch.ones(1, 4)

def holding(value, name="a.weight"):
    net = Net().eval()
    with torch.no_grad():
        dict([*net.named_parameters(), *net.named_buffers()])[name].view(-1)[1] = value
    return net

def with_buffer(value):
    net = Net().eval()
    net.mask = value
    return net

def shared():
    one = nn.Linear(4, 4)
    return nn.Sequential(one, nn.ReLU(), one).eval()

def drop(x):
    if x.sum() > 0:
        return -x
    return x

def raising(x):
    return x @ torch.ones(3, 3)

def counting(x):
    return x[:, : int(x.argmax()) + 1]
"""


ROWS_OF = """
def sharing(x):
    return x / int(x.shape[0])

def build():
    size = Dimension(name="rows", axes={{"x": 0}}, {sizes})
    return ModelSpec(Net({then}).eval(), (X,), dimensions=(size,))
"""


def sized(sizes: str, then: str = "lambda x: x") -> str:
    return HEADER + ROWS_OF.format(sizes=sizes, then=then)


def model(text: str) -> str:
    return f"{HEADER}\ndef build():\n    return {text}\n"


def then(function: str) -> str:
    return model(f"Net({function}).eval(), (X,)")


SOURCES = {
    "function-missing": f"{HEADER}\ndef biuld():\n    pass\n",
    "file-syntax": f"{HEADER}\ndef build(:\n",
    "file-imports": f"{HEADER}\nimport not_there\n",
    "factory-raises": f"{HEADER}\ndef build():\n    return {{}}['weights']\n",
    "factory-exits": f"{HEADER}\ndef build():\n    raise SystemExit(3)\n",
    "factory-arguments": f"{HEADER}\ndef build(width):\n    pass\n",
    "factory-nothing": model("None"),
    "module-training": model("Net(), (X,)"),
    "module-part-training": model("(lambda net: (net.a.train(), net)[1])(Net().eval()), (X,)"),
    "module-elsewhere": model("Net().eval().to('meta'), (X,)"),
    "weights-half": model("Net().eval().half(), (X.half(),)"),
    "weights-nan": model("holding(float('nan')), (X,)"),
    "weights-infinite": model("holding(float('inf')), (X,)"),
    "buffer-nan": model("holding(float('nan'), 'mask'), (X,)"),
    "weights-complex": model("with_buffer(torch.ones(4, dtype=torch.complex64)), (X,)"),
    "weights-sparse": model("with_buffer(torch.eye(4).to_sparse()), (X,)"),
    "example-shape": model("Net().eval(), (torch.ones(1, 3),)"),
    "example-count": model("Net().eval(), (X, X)"),
    "example-empty": model("Net().eval(), (torch.ones(0, 4),)"),
    "example-number": model("Net().eval(), (3,)"),
    "example-complex": model("nn.Identity().eval(), (X.to(torch.complex64),)"),
    "example-double": model("nn.Identity().eval(), (X.double(),)"),
    "example-sparse": model("Net().eval(), (X.to_sparse(),)"),
    "forward-raises": then("raising"),
    "output-none": then("lambda x: None"),
    "output-number": then("lambda x: 3"),
    "output-empty": then("lambda x: x[:, 4:]"),
    "output-complex": then("lambda x: torch.complex(x, x)"),
    "output-sparse": then("lambda x: x.to_sparse()"),
    "output-not-finite": then("lambda x: x / 0"),
    "output-constant": then("lambda x: (x, torch.ones(1, 3))"),
    "output-input": model("nn.Identity().eval(), (X,)"),
    "output-twice": then("lambda x: (x, x)"),
    "names-twice": model("Two().eval(), (X, (X,))"),
    "names-foreign": model("ModelSpec(Net().eval(), (X,), inputs={'my input': ArrayInput()})"),
    "control-flow": then("drop"),
    "size-from-values": then("counting"),
    "dimension-unbounded": sized("min=1"),
    "dimension-constant": sized("min=1, max=8", "sharing"),
    "dimension-example": sized("sizes=(2, 4)"),
    "contract-image": model("ModelSpec(Net().eval(), (X,), inputs={'x': ImageInput(size=(4, 4))})"),
    "contract-names": model(
        "ModelSpec(Net().eval(), (X,), inputs={'x': ArrayInput(), 'y': ArrayInput()})"
    ),
    "contract-labels": model(
        "ModelSpec(Net().eval(), (X,), outputs={'y': 'classification'}, labels=('cat',))"
    ),
}
TAKEN = {
    "buffer-infinite": model("holding(float('-inf'), 'mask'), (X,)").replace(
        "self.a(x) + self.mask", "(self.a(x) + self.mask).softmax(-1)"
    ),
    "weights-shared": model("shared(), (X,)"),
}


@pytest.fixture
def read(tmp_path):
    def read(text):
        source = tmp_path / "net.py"
        source.write_text(text)
        output = tmp_path / "output"
        output.mkdir()
        PLUGIN.read(ModelSource(reference=f"{source}:build"), StepContext(output=output))
        return ModelSummary.model_validate_json((output / "summary.json").read_bytes())

    yield read
    sys.path[:] = [each for each in sys.path if each != str(tmp_path)]


@pytest.mark.parametrize("name", SOURCES)
def test_a_model_that_cannot_be_used_is_refused(name, read):
    with pytest.raises(MobileSDKError) as caught:
        read(SOURCES[name])
    error = caught.value
    assert error.hint
    ROWS[name].check(error.code, error.exit_code, str(error))


@pytest.mark.parametrize("name", TAKEN)
def test_a_model_that_looks_odd_is_taken(name, read):
    assert ROWS[name].code == "works"
    summary = read(TAKEN[name])
    assert len(summary.weights) == 1  # of two layers that share it, too


KERAS = {
    "keras-code": {"class_name": "__lambda__", "config": {"value": "4wAA"}},
    "keras-custom": {"module": "mine", "class_name": "Twice", "config": {"name": "twice"}},
    "keras-foreign": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
}


@pytest.mark.parametrize("name", KERAS)
def test_a_keras_model_that_may_not_be_loaded_is_refused(name, tmp_path):
    layers = {"module": "keras", "class_name": "Sequential", "config": {"layers": [KERAS[name]]}}
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(layers))
    with pytest.raises(MobileSDKError) as caught:
        keras.PLUGIN.read(
            ModelSource(reference=str(tmp_path / "net.keras")), StepContext(output=tmp_path)
        )
    ROWS[name].check(caught.value.code, caught.value.exit_code, str(caught.value))
