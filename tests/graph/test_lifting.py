"""States: buffers that a model changes become inputs and outputs, and buffers again."""

import numpy as np
import pytest
import torch
from torch import nn

from mobilesdk.core.contract import Contract, InputSpec, OutputSpec
from mobilesdk.errors import ArtifactInvalid, ConversionFailed, InvalidContract, InvalidModel
from mobilesdk.graph.contracts import with_states
from mobilesdk.graph.eager import check_export
from mobilesdk.graph.flatten import input_leaves
from mobilesdk.graph.lifting import single_runs, stateful_program
from mobilesdk.graph.module import export_module, run_module
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import graph_module

X = torch.tensor([[1.0, -2.0, 0.5]])
CONTRACT = Contract(
    inputs=(InputSpec(name="x", shape=(1, 3), dtype="float32"),),
    outputs=(OutputSpec(name="output_0", shape=(1, 3), dtype="float32"),),
)


class Memory(nn.Module):
    """Adds up its inputs in one buffer, counts its calls in another, and reads a third."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Module()
        self.inner.register_buffer("total", torch.zeros(1, 3), persistent=False)
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("scale", torch.full((3,), 2.0))

    def forward(self, x):
        self.inner.total += x * self.scale
        self.count += 1
        return self.inner.total / self.count


class Baked(nn.Module):
    """Writes a cache at a position that it counts in Python, which no exporter sees."""

    def __init__(self):
        super().__init__()
        self.position = 0
        self.register_buffer("cache", torch.zeros(8, 3))

    def forward(self, x):
        self.cache[self.position % 8] = x[0]
        self.position += 1
        return self.cache.cumsum(0).mean(0, keepdim=True) + x


def lifted(module):
    inputs = input_leaves(module, (X,))
    program, states = export_module(module, inputs)
    return inputs, program, with_states(CONTRACT, states)


@pytest.fixture(scope="module")
def memory():
    return lifted(Memory().eval())


def test_states_are_inputs_and_their_new_values_outputs(memory):
    _, program, contract = memory
    assert {state.name: (state.shape, state.dtype) for state in contract.states} == {
        "count": ((1,), "int64"),
        "inner_total": ((1, 3), "float32"),
    }
    assert program.graph_signature.buffers_to_mutate == {}
    module, states = graph_module(prepare(program)), (torch.zeros(1).long(), torch.zeros(1, 3))
    eager = Memory().eval()
    for x in (X, 3 * X, -X):
        output, *states = module(x, *states)
        torch.testing.assert_close(output, eager(x))
    assert states[0].item() == 3


def test_the_functional_contract_names_what_the_program_takes_and_gives(memory):
    _, program, contract = memory
    whole = contract.functional
    assert [each.name for each in whole.inputs] == ["x", "count", "inner_total"]
    assert [each.name for each in whole.outputs] == ["output_0", "count_next", "inner_total_next"]
    assert whole.states == ()
    assert tuple(program.graph_signature.user_inputs) == ("x", "count", "inner_total")


def test_the_buffers_come_back_with_their_writes(memory):
    _, program, contract = memory
    again = stateful_program(prepare(program), contract)
    assert set(again.graph_signature.buffers_to_mutate.values()) == {"inner_total", "count"}
    module, eager = graph_module(again), Memory().eval()
    for x in (X, 3 * X):
        torch.testing.assert_close(module(x)[0], eager(x))


def test_a_model_without_states_stays_as_it_is():
    program, states = export_module(nn.Linear(3, 3).eval(), input_leaves(nn.Linear(3, 3), (X,)))
    assert states == {}
    assert stateful_program(program, CONTRACT) is program


def test_a_program_does_what_its_module_does_call_after_call(memory):
    inputs, program, contract = memory
    check_export(Memory().eval(), inputs, program, contract, seed=0)


def test_a_position_that_python_counts_is_refused():
    inputs, program, contract = lifted(Baked().eval())
    with pytest.raises(ArtifactInvalid, match="call 2 of a sequence") as caught:
        check_export(Baked().eval(), inputs, program, contract, seed=0)
    assert "keep a position as an input or in a buffer" in caught.value.hint


def test_a_state_that_does_not_start_at_zeros_is_refused():
    module = Memory().eval()
    module.count.fill_(5)
    with pytest.raises(InvalidModel, match=r"'count' changes .* does not start at zeros"):
        lifted(module)


def test_a_state_with_the_name_of_a_part_is_refused(memory):
    _, program, contract = memory
    states = [each.model_copy(update={"name": "scale"}) for each in contract.states[:1]]
    renamed = contract.model_copy(update={"states": (*states, contract.states[1])})
    with pytest.raises(ConversionFailed, match="a part and a state of the name 'scale'"):
        stateful_program(program, renamed)


def test_calibration_takes_a_later_step_of_each_sequence(memory):
    _, program, contract = memory
    sequences = [{"x": np.full((2, 1, 3), place + 1, np.float32)} for place in range(3)]
    runs = list(single_runs(program, contract, sequences))
    assert [count.item() for _, count, _ in runs] == [0, 1, 0]
    assert [total.tolist() for _, _, total in runs] == [[[0.0] * 3], [[4.0] * 3], [[0.0] * 3]]
    assert [x[0, 0].item() for x, _, _ in runs] == [1, 2, 3]


class Growing(nn.Module):
    """Puts another buffer in the place of its own, which no program can."""

    def __init__(self):
        super().__init__()
        self.register_buffer("past", torch.zeros(1, 3))

    def forward(self, x):
        self.past = torch.cat([self.past, x])
        return self.past.sum(0, keepdim=True)


@pytest.mark.parametrize("kind", [Memory, Growing])
def test_a_run_on_the_example_leaves_the_buffers_as_they_were(kind):
    module = kind().eval()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    run_module(module, input_leaves(module, (X,)))
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, before[name])


def test_a_cache_that_grows_is_refused():
    inputs, program, contract = lifted(Growing().eval())
    with pytest.raises(ArtifactInvalid, match="call 2 of a sequence"):
        check_export(Growing().eval(), inputs, program, contract, seed=0)


def test_boxes_and_masks_are_of_single_runs(memory):
    _, _, contract = memory
    masked = contract.outputs[0].model_copy(update={"kind": "mask"})
    stateless = contract.model_copy(update={"outputs": (masked,), "states": ()})
    states = {state.name: torch.zeros(state.shape) for state in contract.states}
    with pytest.raises(InvalidContract, match="'output_0' is of the kind 'mask'"):
        with_states(stateless, states)
