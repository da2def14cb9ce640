import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from mobilesdk.errors import FileRejected, InvalidModel
from mobilesdk.graph.state import load_state


def network(width=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Linear(2, width))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def other_state(module):
    generator = torch.Generator().manual_seed(1)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }


def save(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_a_state_that_fits_is_loaded(tmp_path, suffix):
    module = network()
    state = other_state(module)
    load_state(module, save(tmp_path / f"state{suffix}", state))
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


def test_all_that_does_not_fit_is_named_at_once_and_nothing_is_loaded(tmp_path):
    module = network()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = other_state(module)
    del state["0.bias"], state["1.running_mean"]
    state |= {"2.weight": torch.zeros(4, 9), "1.weight": torch.zeros(4).half()}
    state |= {"9.weight": torch.zeros(1)}
    with pytest.raises(InvalidModel) as caught:
        load_state(module, save(tmp_path / "state.pt", state))
    assert caught.value.message.splitlines()[1:] == [
        "  - missing: 0.bias",
        "  - missing: 1.running_mean",
        "  - unexpected: 9.weight",
        "  - misshapen: 1.weight is float16[4] in the file, float32[4] in the module",
        "  - misshapen: 2.weight is float32[4, 9] in the file, float32[4, 2] in the module",
    ]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("wrap", "hint"),
    [
        (lambda state: {f"module.{key}": value for key, value in state.items()}, "'module.'"),
        (lambda state: {f"a.b.{key}": value for key, value in state.items()}, "'a.b.'"),
        (lambda state: {f"x{key}": value for key, value in state.items()}, "same sizes"),
    ],
)
def test_a_prefix_is_named_and_not_taken_away(tmp_path, wrap, hint):
    module = network()
    with pytest.raises(InvalidModel, match=r"missing: 0\.weight") as caught:
        load_state(module, save(tmp_path / "state.safetensors", wrap(other_state(module))))
    assert hint in caught.value.hint


def test_a_prefix_of_the_module_is_named(tmp_path):
    state = other_state(network())
    outer = nn.ModuleDict({"model": network()})
    with pytest.raises(InvalidModel) as caught:
        load_state(outer, save(tmp_path / "state.pt", state))
    assert "return its part 'model'" in caught.value.hint


def test_tied_weights_may_stand_there_once_and_have_to_agree(tmp_path):
    weight = torch.rand(5, 3)
    module = Tied()
    load_state(module, save(tmp_path / "state.safetensors", {"head.weight": weight}))
    assert torch.equal(module.embedding.weight, weight)
    both = {"head.weight": weight, "embedding.weight": weight + 1}
    with pytest.raises(InvalidModel, match=r"embedding\.weight and head\.weight are one tensor"):
        load_state(module, save(tmp_path / "state.pt", both))
    with pytest.raises(InvalidModel, match=r"missing: embedding\.weight\n.*missing: head\.weight"):
        load_state(module, save(tmp_path / "state.pt", {"other": weight}))


class WritesAFile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_what_would_run_code_is_refused_and_does_not_run(tmp_path):
    written = tmp_path / "written"
    path = save(tmp_path / "state.pt", {"0.weight": WritesAFile(written)})
    with pytest.raises(FileRejected, match=r"Python objects \(.*system\)") as caught:
        load_state(network(), path)
    assert "module.state_dict()" in caught.value.hint
    path.write_bytes(pickle.dumps(WritesAFile(written), protocol=2))
    with pytest.raises(FileRejected, match="Python objects"):
        load_state(network(), path)
    assert not written.exists()
    torch.load(save(path, WritesAFile(written)), weights_only=False)
    assert written.exists()  # so it would have


def test_a_pickled_module_is_refused(tmp_path):
    with pytest.raises(FileRejected, match=r"Python objects \(torch\.nn\S+Sequential\)") as caught:
        load_state(network(), save(tmp_path / "model.pt", network()))
    assert "torch.save(module.state_dict(), path)" in caught.value.hint


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "model.pt")
    with pytest.raises(FileRejected, match="TorchScript"):
        load_state(network(), tmp_path / "model.pt")


def test_a_checkpoint_says_where_its_state_is(tmp_path):
    module = network()
    path = save(tmp_path / "last.pt", {"epoch": 3, "net": other_state(module)})
    with pytest.raises(InvalidModel, match=r"'epoch' \(a int\), 'net' \(a dict\)") as caught:
        load_state(module, path)
    assert "['net']" in caught.value.hint


@pytest.mark.parametrize("name", ["state.safetensors", "state.pt", "state.bin", "none.pt"])
def test_what_cannot_be_read_is_told(tmp_path, name):
    (tmp_path / "state.safetensors").write_bytes(b"\xff" * 100)
    (tmp_path / "state.pt").write_bytes(b"\xff" * 100)
    with pytest.raises(InvalidModel, match=name) as caught:
        load_state(network(), tmp_path / name)
    assert caught.value.hint


def test_a_hostile_archive_is_refused(tmp_path):
    path = save(tmp_path / "state.pt", other_state(network()))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil", b"")
    with pytest.raises(FileRejected, match="leads outside"):
        load_state(network(), path)
