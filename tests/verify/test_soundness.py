"""Soundness: other inputs or outputs than the model's are refused before anything runs."""

import pytest

from mobilesdk.core.artifact import ArtifactInfo, ClassifierInfo, FunctionInfo, OpInfo, TensorInfo
from mobilesdk.core.contract import (
    ArrayInput,
    Contract,
    ImageInput,
    InputSpec,
    OutputSpec,
    StateSpec,
)
from mobilesdk.core.dimension import Dimension
from mobilesdk.core.flexibility import Flexibility
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
SIDES = r"in the file, float32\[1, 3, 4, 4\] in the contract"
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
    enforce_contract(info((changed(IMAGE, dtype="float16"), IDS)), CONTRACT)
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
        (
            (IDS, changed(IMAGE, shape=(1, 4, 4, 3))),
            (SCORES,),
            r"float32\[1, 4, 4, 3\] in the file, float32\[1, 3, 4, 4\] in the contract",
        ),
        (
            (IDS, changed(IMAGE, shape=(1, 3, 4))),
            (SCORES,),
            r"float32\[1, 3, 4\] in the file, float32\[1, 3, 4, 4\] in the contract",
        ),
        ((IDS, changed(IMAGE, dtype="bool")), (SCORES,), "'image' is bool"),
        ((changed(IDS, dtype="float32"), IMAGE), (SCORES,), "'ids' is float32"),
        ((IDS, IMAGE), (changed(SCORES, shape=(1, 6)),), "'scores' is"),
    ],
)
@pytest.mark.parametrize("keeps_names", [True, False])
def test_another_count_shape_or_type_is_refused(keeps_names, inputs, outputs, message):
    with pytest.raises(ArtifactInvalid, match=message):
        enforce_contract(info(inputs, outputs, keeps_names=keeps_names), CONTRACT)


ALLOWED = Flexibility(ranges=((1, 1), (3, 3), (2, 8), (2, 8)))
LISTED = Flexibility(shapes=((1, 3, 2, 2), (1, 3, 4, 4)))


@pytest.mark.parametrize(
    ("allowed", "side", "passes"),
    [(ALLOWED, 4, True), (ALLOWED, 9, False), (LISTED, 2, True), (LISTED, 3, False)],
)
def test_the_shape_of_the_contract_has_to_be_one_that_is_allowed(allowed, side, passes):
    found = info((IDS, changed(IMAGE, shape=allowed.shape, flexibility=allowed)))
    ids, image = CONTRACT.inputs
    wanted = image.model_copy(update={"shape": (1, 3, side, side)})
    contract = CONTRACT.model_copy(update={"inputs": (ids, wanted)})
    if passes:
        enforce_contract(found, contract)
        return
    with pytest.raises(ArtifactInvalid) as refused:
        enforce_contract(found, contract)
    assert str(allowed) in refused.value.message


@pytest.mark.parametrize(
    ("layout", "pixels", "preparation", "passes"),
    [
        ("rgb", (4, 4, 3), ImageInput(size=(4, 4)), True),
        ("bgr", (4, 4, 3), ImageInput(size=(4, 4)), True),  # pixels are given as RGB all the same
        ("rgb", (4, 5, 3), ImageInput(size=(4, 4)), False),
        ("grayscale", (4, 4), ImageInput(size=(4, 4)), False),
        ("rgb", (4, 4, 3), ArrayInput(), False),
    ],
)
def test_an_image_stands_for_an_input_that_is_prepared_from_one(
    layout, pixels, preparation, passes
):
    picture = TensorInfo(name="image", shape=pixels, dtype="uint8", color_layout=layout)
    ids, image = CONTRACT.inputs
    prepared = image.model_copy(update={"preparation": preparation})
    contract = CONTRACT.model_copy(update={"inputs": (ids, prepared)})
    if passes:
        enforce_contract(info((IDS, picture)), contract)
        return
    with pytest.raises(ArtifactInvalid, match=f"is an image, {layout} uint8") as refused:
        enforce_contract(info((IDS, picture)), contract)
    assert "ImageInput" in refused.value.hint


def test_an_image_as_an_output_is_refused():
    picture = TensorInfo(name="scores", shape=(1, 5, 3), dtype="uint8", color_layout="rgb")
    with pytest.raises(ArtifactInvalid, match="is an image") as refused:
        enforce_contract(info(outputs=(picture,)), CONTRACT)
    assert "arrays (ct.TensorType) in place of images" in refused.value.hint


CLASSES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, ""),
        (CLASSES, ""),
        (("a", "c", "b", "d", "e"), "class 1 is 'b', the contract's label 'c'"),
        ((*CLASSES, "f"), "5 classes, the contract 6 labels"),
    ],
)
def test_probabilities_stand_for_the_output_and_classes_are_the_labels(labels, message):
    probabilities = changed(SCORES, name="classLabel_probs")
    classifier = ClassifierInfo(
        label="classLabel", probabilities="classLabel_probs", classes=CLASSES
    )
    found = info(outputs=(probabilities,)).model_copy(update={"classifier": classifier})
    contract = CONTRACT.model_copy(update={"labels": labels})
    if not message:
        enforce_contract(found, contract)
        told = "no output named 'scores', only 'classLabel_probs'"
        with pytest.raises(ArtifactInvalid, match=told) as refused:
            enforce_contract(found.model_copy(update={"classifier": None}), contract)
        stated = 'ModelSpec(outputs={"classLabel_probs": "other"})'
        assert stated in refused.value.hint
        return
    with pytest.raises(ArtifactInvalid, match=message):
        enforce_contract(found, contract)


@pytest.mark.parametrize(
    ("dtype", "words"), [("float16", "use -1e4 in the model"), ("float32", "torch.isfinite")]
)
def test_advice_on_numbers_that_are_not_finite_is_that_of_the_type(dtype, words):
    ops = (OpInfo(name="a", type="add", dtype=dtype),)
    found = info().model_copy(
        update={"ops": ops, "problems": ("w: 1 of 4 values are not finite.",)}
    )
    with pytest.raises(ArtifactInvalid) as infinite:
        enforce_sound(found)
    assert words in infinite.value.hint


def test_advice_on_them_is_not_given_for_other_problems():
    with pytest.raises(ArtifactInvalid) as larger:
        enforce_sound(info().model_copy(update={"problems": ("w: more bytes than it takes.",)}))
    assert larger.value.hint == ""


STATEFUL = CONTRACT.model_copy(
    update={"states": (StateSpec(name="cache", shape=(1, 2), dtype="float32"),)}
)
CACHE = TensorInfo(name="cache", shape=(1, 2), dtype="float16")


def with_states(found, *states):
    return found.model_copy(update={"states": states})


def test_states_are_states_of_the_file_or_its_inputs_and_outputs():
    enforce_contract(with_states(info(), CACHE), STATEFUL)
    after = changed(CACHE, name="cache_next")
    enforce_contract(info((IDS, IMAGE, CACHE), (SCORES, after)), STATEFUL)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (info(), "it has no states, the contract 1: a converter dropped them"),
        (with_states(info(), CACHE, CACHE), "it has 2 states, the contract 1"),
        (with_states(info(), changed(CACHE, name="other")), "no state named 'cache'"),
        (with_states(info(), changed(CACHE, shape=(1, 3))), r"'cache' is float16\[1, 3\]"),
        (info((IDS, IMAGE, CACHE), (SCORES,)), "1 outputs, the contract 2"),
    ],
)
def test_states_that_a_converter_dropped_or_changed_are_refused(found, message):
    with pytest.raises(ArtifactInvalid, match=message):
        enforce_contract(found, STATEFUL)


LENGTH = Dimension(name="length", min=2, max=8, axes={"ids": 1})
LENGTHS = Dimension(name="length", sizes=(2, 4, 8), axes={"ids": 1})
RANGE = Flexibility(ranges=((1, 1), (2, 8)))
LIST = Flexibility(shapes=((1, 8), (1, 2), (1, 4)))
HIGHEST = Flexibility(ranges=((0, 1), (0, 8)))


def flexible_ids(flexibility):
    return changed(IDS, shape=(1, -1), flexibility=flexibility)


@pytest.mark.parametrize(
    ("dimension", "found", "is_same"),
    [
        (LENGTH, RANGE, True),
        (LENGTH, HIGHEST, True),
        (LENGTH, LIST, False),
        (LENGTH, None, False),
        (LENGTH, Flexibility(ranges=((1, 1), (2, 9))), False),
        (LENGTH, Flexibility(ranges=((1, 1), (1, 8))), False),
        (LENGTH, Flexibility(ranges=((1, 1), (2, None))), False),
        (LENGTH, Flexibility(ranges=((1, 2), (2, 8))), False),
        (LENGTH, Flexibility(ranges=((0, 1), (0, 9))), False),
        (LENGTHS, LIST, True),
        (LENGTHS, HIGHEST, True),
        (LENGTHS, RANGE, False),
        (LENGTHS, Flexibility(shapes=((1, 2), (1, 8))), False),
    ],
)
def test_a_file_allows_just_the_sizes_of_the_contract(dimension, found, is_same):
    contract = CONTRACT.model_copy(update={"dimensions": (dimension,)})
    given = info((flexible_ids(found), IMAGE))
    if is_same:
        enforce_contract(given, contract)
    else:
        with pytest.raises(ArtifactInvalid, match=r"'ids' takes .* in the file, and .* in the con"):
            enforce_contract(given, contract)


def test_axes_of_outputs_that_vary_may_have_any_size_and_others_may_not():
    contract = CONTRACT.model_copy(
        update={
            "dimensions": (LENGTH,),
            "outputs": (OutputSpec(name="scores", shape=(1, 5), dtype="float32", varying=(1,)),),
        }
    )
    for shape in ((1, -1), (1, 9)):
        enforce_contract(
            info((flexible_ids(RANGE), IMAGE), (changed(SCORES, shape=shape),)), contract
        )
    with pytest.raises(ArtifactInvalid, match="'scores' is"):
        enforce_contract(
            info((flexible_ids(RANGE), IMAGE), (changed(SCORES, shape=(2, -1)),)), contract
        )


def with_signatures(*lengths):
    signatures = tuple(
        FunctionInfo(
            name=f"length_{length}", inputs=(changed(IDS, shape=(1, length)), IMAGE), outputs=()
        )
        for length in lengths
    )
    shapes = Flexibility(shapes=tuple((1, length) for length in lengths))
    return info((flexible_ids(shapes), IMAGE)).model_copy(update={"signatures": signatures})


@pytest.mark.parametrize(
    ("dimension", "lengths", "fault"),
    [
        (LENGTHS, (8, 2, 4), ""),
        (LENGTHS, (8, 2), "no signature for length=4"),
        (LENGTHS, (8, 2, 4, 6), r"its signature 'length_6' takes \[1, 6\], .*sizes"),
        (LENGTH, (8, 2), "signatures for 2 sizes, the contract has length of 2 … 8"),
    ],
)
def test_there_is_a_signature_for_each_listed_size_and_no_other(dimension, lengths, fault):
    contract = CONTRACT.model_copy(update={"dimensions": (dimension,)})
    if not fault:
        enforce_contract(with_signatures(*lengths), contract)
        return
    with pytest.raises(ArtifactInvalid, match=fault):
        enforce_contract(with_signatures(*lengths), contract)
