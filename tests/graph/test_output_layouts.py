"""What a contract says of boxes and masks has to fit the outputs."""

import pytest
import torch

from mobilesdk.core.contract import BoxLayout, Contract, InputSpec, MaskLayout, ModelSpec
from mobilesdk.errors import InvalidContract
from mobilesdk.graph.contracts import make_contract
from mobilesdk.graph.flatten import Leaves

INPUTS = Leaves((torch.zeros(1, 4),), ("x",), None)
BOXES = torch.zeros(1, 7, 4)


def contract(stated, **tensors):
    outputs = Leaves(tuple(tensors.values()), tuple(tensors), None)
    return make_contract(ModelSpec(None, (), outputs=stated), INPUTS, outputs, None)


def test_layouts_of_the_factory_stand_in_the_contract():
    layout = BoxLayout(corners="cxcywh", scores="scores")
    made = contract({"found": layout, "scores": "other"}, found=BOXES, scores=torch.zeros(1, 7, 3))
    assert (made.outputs[0].kind, made.outputs[0].layout) == ("boxes", layout)
    assert (made.outputs[1].kind, made.outputs[1].layout) == ("other", None)
    assert Contract.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    ("layout", "shape", "message"),
    [
        (BoxLayout(), (1, 4, 7, 1), r"boxes are \[1, N, 4\]"),
        (BoxLayout(), (1, 84, 3), "transpose"),
        (BoxLayout(scores="score"), (1, 7, 4), "did you mean 'scores'"),
        (BoxLayout(scores="scores"), (1, 8, 4), "there are 8 boxes"),
        (MaskLayout(class_axis="first"), (1, 1, 8, 8), "no first axis of two classes"),
        (MaskLayout(class_axis="last"), (1, 8), "no last axis"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout, shape, message):
    with pytest.raises(InvalidContract) as caught:
        contract(
            {"y": layout, "scores": "other"}, y=torch.zeros(shape), scores=torch.zeros(1, 7, 3)
        )
    assert caught.match(message)


def test_a_layout_of_another_kind_is_refused():
    spec = {"name": "y", "shape": (1, 7, 4), "dtype": "float32", "kind": "mask"}
    given = Contract(
        inputs=(InputSpec(name="x", shape=(1, 4), dtype="float32"),),
        outputs=({**spec, "layout": BoxLayout()},),
    )
    outputs = Leaves((BOXES,), ("y",), None)
    with pytest.raises(InvalidContract, match="kind 'mask', its layout of 'boxes'"):
        make_contract(ModelSpec(None, ()), INPUTS, outputs, given)
