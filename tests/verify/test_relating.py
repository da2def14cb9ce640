"""Which value of an artifact is which value of the float model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from mobilesdk.verify.ancestry import Ancestry
from mobilesdk.verify.relating import Relater, Relation, Side, probes

RNG = np.random.default_rng(0)
SAMPLES = 4


def values(*shape: int) -> np.ndarray:
    return RNG.normal(size=(SAMPLES, *shape)).astype(np.float32)


def noisy(array: np.ndarray, share: float = 0.01) -> np.ndarray:
    return array + share * RNG.normal(size=array.shape).astype(np.float32)


@dataclass
class Graph:
    """Values of a model, each with what it is computed from."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)

    def add(
        self, name: str, array: np.ndarray, *sources: str, claim: str = "", same_as: str = ""
    ) -> None:
        self.arrays[name] = array
        self.sources[name] = sources
        self.origins[name] = same_as or name
        self.claims[name] = claim

    def side(self, names: dict[str, str]) -> Side:
        order = list(self.arrays)
        return Side(
            shapes={place: self.arrays[name].shape[1:] for place, name in enumerate(order)},
            names={place: (names[name],) for place, name in enumerate(order)},
            origin=Ancestry(order, list(self.sources.values()), list(self.origins.values())),
        )


def relate(artifact: Graph, floats: Graph) -> dict[str, tuple[str, Relation]]:
    """Give artifact name → float name and relation."""
    probed = {}
    for place, array in enumerate(artifact.arrays.values()):
        flat = array.reshape(SAMPLES, -1)
        probed[place] = flat[:, probes(flat.shape[1])]
    relater = Relater(
        artifact.side(artifact.claims),
        probed,
        floats.side({name: name for name in floats.arrays}),
        list(floats.arrays.values()),
    )
    mine, theirs = list(artifact.arrays), list(floats.arrays)
    return {
        mine[place]: (theirs[relation.float_place], relation)
        for place, relation in relater.relate().items()
    }


def only(found: dict[str, tuple[str, Relation]]) -> dict[str, str]:
    return {name: float_name for name, (float_name, _) in found.items()}


@pytest.fixture
def floats() -> Graph:
    graph = Graph()
    graph.add("x", values(8, 6, 5))
    graph.add("y", values(8, 6, 5), "x")
    graph.add("z", values(8, 6, 5), "y")
    return graph


def test_values_tell_what_is_what_in_another_layout(floats: Graph) -> None:
    artifact = Graph()
    artifact.add("0", noisy(floats.arrays["y"]).transpose(0, 2, 3, 1))
    artifact.add("1", noisy(floats.arrays["z"]).reshape(SAMPLES, -1), "0")
    found = relate(artifact, floats)
    assert only(found) == {"0": "y", "1": "z"}
    assert {relation.matched_by for _, relation in found.values()} == {"value"}
    assert found["0"][1].correlation > 0.99


def test_a_name_is_believed_for_values_that_are_wrong(floats: Graph) -> None:
    artifact = Graph()
    artifact.add("a", floats.arrays["x"], claim="x")
    artifact.add("b", values(8, 6, 5), "a", claim="y")  # noise instead of y
    found = relate(artifact, floats)
    assert only(found) == {"a": "x", "b": "y"}
    assert found["b"][1].matched_by == "name"
    assert abs(found["b"][1].correlation) < 0.2


def test_a_name_is_not_believed_for_values_of_another_op(floats: Graph) -> None:
    """A converter numbers its ops anew: its second may be the model's third."""
    artifact = Graph()
    artifact.add("a", noisy(floats.arrays["y"]), claim="x")
    artifact.add("b", noisy(floats.arrays["z"]), "a", claim="y")
    found = relate(artifact, floats)
    assert only(found) == {"a": "y", "b": "z"}
    assert {relation.matched_by for _, relation in found.values()} == {"value"}


def test_a_broken_sum_is_not_taken_for_the_stream_that_it_was_added_to() -> None:
    """What came before a broken branch is nearer to the sum than what the sum should be."""
    floats, artifact = Graph(), Graph()
    stream = values(512)
    floats.add("stream", stream)
    floats.add("sum", stream + values(512), "stream")
    artifact.add("a", stream, claim="stream")
    artifact.add("b", noisy(stream, 0.1), "a", claim="sum")
    assert only(relate(artifact, floats)) == {"a": "stream", "b": "sum"}


def test_among_equal_values_the_scale_decides() -> None:
    floats, artifact = Graph(), Graph()
    product = values(64, 4)
    floats.add("product", product)
    floats.add("scaled", product / 8, "product")
    artifact.add("0", noisy(product))
    artifact.add("1", noisy(product) / 8, "0")
    assert only(relate(artifact, floats)) == {"0": "product", "1": "scaled"}
    fused = Graph()
    fused.add("0", artifact.arrays["1"])
    assert only(relate(fused, floats)) == {"0": "scaled"}


def test_a_scaled_value_is_related_all_the_same(floats: Graph) -> None:
    artifact = Graph()
    artifact.add("0", 3 * floats.arrays["y"])
    found = relate(artifact, floats)
    assert only(found) == {"0": "y"}
    assert found["0"][1].gain == pytest.approx(np.log(3), abs=1e-3)


def test_copies_are_related_and_others_are_not(floats: Graph) -> None:
    artifact = Graph()
    exact = noisy(floats.arrays["y"], 0.05)
    artifact.add("0", exact)
    artifact.add("copy", exact.transpose(0, 2, 3, 1), "0")
    artifact.add("other", noisy(exact, 0.5), "copy")
    assert only(relate(artifact, floats)) == {"0": "y", "copy": "y"}


def test_a_rounded_copy_of_what_is_exact_is_related(floats: Graph) -> None:
    artifact = Graph()
    exact = floats.arrays["y"]
    artifact.add("0", exact)
    artifact.add("rounded", np.rint(exact * 32) / 32, "0")
    artifact.add("elsewhere", np.rint(exact * 32) / 32)
    assert only(relate(artifact, floats)) == {"0": "y", "rounded": "y"}


def test_what_is_like_nothing_is_not_related(floats: Graph) -> None:
    artifact = Graph()
    artifact.add("noise", values(8, 6, 5))
    artifact.add("size", values(7))
    artifact.add("constant", np.ones((SAMPLES, 8, 6, 5), np.float32))
    assert relate(artifact, floats) == {}


def test_a_likeness_of_few_numbers_tells_nothing() -> None:
    floats, artifact = Graph(), Graph()
    floats.add("x", values(3))
    artifact.add("0", floats.arrays["x"])
    assert relate(artifact, floats) == {}
    artifact.add("1", floats.arrays["x"], claim="x")
    assert only(relate(artifact, floats)) == {"1": "x"}


def test_a_value_is_not_one_that_its_sources_do_not_lead_to() -> None:
    """Two masks are alike; the one that comes from y cannot be the one that comes from x."""
    floats, artifact = Graph(), Graph()
    mask = values(256)
    floats.add("x", values(256))
    floats.add("y", values(256))
    floats.add("of_x", mask, "x")
    artifact.add("0", noisy(floats.arrays["y"]))
    artifact.add("1", noisy(mask, 0.1), "0")
    assert only(relate(artifact, floats)) == {"0": "y"}


def test_rearranged_and_repeated_values_count_as_their_origin() -> None:
    """An artifact that joins what the model computes twice still has the descendants of both."""
    floats, artifact = Graph(), Graph()
    twice = values(16, 16)
    floats.add("x", values(16, 16))
    floats.add("first", twice, "x")
    floats.add("second", twice, "x", same_as="first")
    floats.add("last", values(16, 16), "second")
    artifact.add("0", noisy(twice))
    artifact.add("1", noisy(floats.arrays["last"]), "0")
    assert only(relate(artifact, floats)) == {"0": "first", "1": "last"}


def test_huge_and_infinite_numbers_do_not_upset_the_others() -> None:
    floats, artifact = Graph(), Graph()
    masked = values(128)
    masked[:, ::2] = np.finfo(np.float32).min
    floats.add("masked", masked)
    artifact.add("0", np.where(masked < -1e30, -np.inf, masked).astype(np.float16), claim="masked")
    assert only(relate(artifact, floats)) == {"0": "masked"}
