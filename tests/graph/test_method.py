"""A method is what it asks for; everything else follows from that."""

import pytest

from mobilesdk.core.form import Needs, Trait
from mobilesdk.core.scheme import ActivationScheme, Request, WeightScheme
from mobilesdk.graph.compression import Compression
from mobilesdk.graph.method import Method, MethodConfig

INT8 = WeightScheme(encoding="linear", bits=8, granularity="per_channel")
HALF = ActivationScheme(bits=16)
STATIC = ActivationScheme(mode="static", bits=8)


class Config(MethodConfig):
    activations: ActivationScheme | None = None
    corrects: bool = False

    def compression(self) -> Compression:
        return Compression(
            {"linear": INT8}, activations=self.activations, corrects_biases=self.corrects
        )


METHOD = Method("some_method", Config)


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        (Config(), Needs.NONE),
        (Config(corrects=True), Needs.CALIBRATION),
        (Config(activations=STATIC), Needs.CALIBRATION),
        (Config(activations=ActivationScheme(mode="dynamic", bits=8)), Needs.NONE),
        (Config(activations=HALF), Needs.NONE),
    ],
)
def test_samples_are_needed_for_biases_and_for_fixed_ranges(config, needs):
    assert METHOD.needs(config) is needs


def test_activations_stay_as_they_were_unless_others_are_asked_for():
    before = Request(activations=HALF)
    assert METHOD.request(Config(), before).activations == HALF
    assert METHOD.request(Config(activations=STATIC), before).activations == STATIC


def test_weights_of_other_roles_stay_as_they_were():
    before = Request(weights={"conv": WeightScheme(bits=16)})
    after = METHOD.request(Config(), before)
    assert after.weights == {"conv": WeightScheme(bits=16), "linear": INT8}


def test_a_method_rounds_once_unless_it_says_otherwise():
    assert METHOD.adds & METHOD.forbids == {Trait.ON_GRID, Trait.QUANTIZED}
    zeros = Method("zeros", Config, adds=frozenset({Trait.SPARSE}), forbids=frozenset())
    assert not zeros.adds & METHOD.forbids


def test_a_config_that_asks_for_nothing_cannot_be_made():
    class Silent(MethodConfig):
        pass

    with pytest.raises(TypeError, match="compression"):
        Silent()
