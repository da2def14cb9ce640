import pytest

from mobilesdk.core.artifact import TensorInfo
from mobilesdk.core.contract import OutputSpec
from mobilesdk.pipeline.assemble import _ports


def ports(contract, artifact):
    specs = [OutputSpec(name=name, shape=(1,), dtype="float32", kind="other") for name in contract]
    tensors = [TensorInfo(name=name, shape=(1,), dtype="int8") for name in artifact]
    return {name: port.name for name, port in _ports(specs, tensors).items()}


def test_outputs_of_equal_names_are_paired_by_name():
    assert ports(["a", "b"], ["b", "a"]) == {"a": "a", "b": "b"}


def test_numbered_outputs_are_paired_in_the_order_of_their_numbers():
    names = [f"y{place}" for place in range(11)]
    numbered = sorted(f"output_{place}" for place in range(11))  # output_10 before output_2
    assert ports(names, numbered) == {f"y{n}": f"output_{n}" for n in range(11)}


def test_what_an_artifact_leaves_out_has_no_pair():
    with pytest.raises(ValueError, match="shorter"):
        ports(["a", "b"], ["output_0"])
