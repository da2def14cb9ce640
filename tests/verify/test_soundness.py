"""Soundness: other inputs or outputs than the model's are refused before anything runs."""

import pytest

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.errors import ArtifactInvalid
from mobilesdk.verify.soundness import enforce_contract, enforce_sound

CONTRACT = Contract(
    inputs=(
        InputSpec(name="ids", shape=(1, 8), dtype="int64"),
        InputSpec(name="image", shape=(1, 3, 4, 4), dtype="float32"),
    ),
    outputs=(OutputSpec(name="scores", shape=(1, 5), dtype="float32"),),
)
IDS = TensorInfo(name="ids", shape=(1, 8), dtype="int32")
IMAGE = TensorInfo(name="image", shape=(1, 3, 4, 4), dtype="float32")
SCORES = TensorInfo(name="scores", shape=(1, 5), dtype="float32")


def info(inputs=(IDS, IMAGE), outputs=(SCORES,), *, keeps_names=True):
    return ArtifactInfo(
        format="coreml",
        size_bytes=1,
        inputs=inputs,
        outputs=outputs,
        weights=(),
        ops=(),
        keeps_names=keeps_names,
    )


def changed(tensor, **fields):
    return tensor.model_copy(update=fields)


def test_names_count_where_the_format_keeps_them_and_order_does_elsewhere():
    enforce_contract(info((IMAGE, IDS)), CONTRACT)
    inputs = (changed(IMAGE, name="args_10"), changed(IDS, name="args_9", shape=(1, -1)))
    scores = changed(SCORES, dtype="int8")
    enforce_contract(info(inputs, (scores,), keeps_names=False), CONTRACT)
    with pytest.raises(ArtifactInvalid, match="no input named 'image'"):
        enforce_contract(info((IDS, changed(IMAGE, name="picture"))), CONTRACT)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((IDS,), (SCORES,), "1 inputs, the contract 2"),
        ((IDS, IMAGE), (SCORES, SCORES), "2 outputs, the contract 1"),
        ((IDS, changed(IMAGE, shape=(1, 4, 4, 3))), (SCORES,), r"float32\[1, 4, 4, 3\], not"),
        ((IDS, changed(IMAGE, shape=(1, 3, 4))), (SCORES,), r"float32\[1, 3, 4\], not"),
        ((IDS, changed(IMAGE, dtype="float16")), (SCORES,), "float16"),
        ((changed(IDS, dtype="float32"), IMAGE), (SCORES,), "'ids' is float32"),
        ((IDS, IMAGE), (changed(SCORES, shape=(1, 6)),), "'scores' is"),
    ],
)
@pytest.mark.parametrize("keeps_names", [True, False])
def test_another_count_shape_or_type_is_refused(keeps_names, inputs, outputs, message):
    with pytest.raises(ArtifactInvalid, match=message):
        enforce_contract(info(inputs, outputs, keeps_names=keeps_names), CONTRACT)


def test_advice_on_overflow_is_given_where_there_is_one():
    with pytest.raises(ArtifactInvalid) as infinite:
        enforce_sound(info().model_copy(update={"problems": ("w: 1 of 4 values are not finite.",)}))
    with pytest.raises(ArtifactInvalid) as larger:
        enforce_sound(info().model_copy(update={"problems": ("w: more bytes than it takes.",)}))
    assert "use -1e4" in infinite.value.hint
    assert larger.value.hint == ""
