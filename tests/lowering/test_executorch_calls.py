"""What calls of an ExecuTorch program give, by the program alone."""

from __future__ import annotations

from typing import Any

from mobilesdk.core.artifact import OpInfo
from mobilesdk.flatbuffers.program import Call, Delegate, Program, TensorValue
from mobilesdk.lowering.executorch.calls import recorded_bytes, values_of_calls

TENSORS = {
    0: TensorValue("", "float32", (4,), None),  # input
    1: TensorValue("weight", "float32", (4, 4), memoryview(bytes(64))),
    2: TensorValue("", "float32", (4,), None),
    3: TensorValue("", "float32", (4,), None),
    4: TensorValue("", "int64", (1,), None),
    6: TensorValue("", "float32", (2,), None),
}
BACKEND = "SomeBackend"


def program(*calls: Call, **changes: Any) -> Program:
    fields: dict[str, Any] = {
        "tensors": TENSORS,
        "lists": {5: (3, 4)},
        "inputs": (0,),
        "outputs": (6,),
        "calls": calls,
        "delegates": (Delegate(BACKEND, memoryview(b"")),),
        "named_data": {},
    }
    return Program(**fields | changes)


def inside(place: int, count: int) -> list[OpInfo]:
    return [
        OpInfo(name=f"{place}.{n}", type="XNNAdd", dtype="float32", delegate=BACKEND)
        for n in range(count)
    ]


CALLS = (
    Call("", 0, (1, 0, 2)),  # a delegate: takes a constant and the input, gives 2
    Call("aten::max.out", None, (2, 9, 3, 4, 5)),  # gives the list 5, that is 3 and 4
    Call("aten::sum.out", None, (3, 9, 6)),
)


def test_values_are_named_by_their_call_and_lead_back_to_the_first() -> None:
    found = values_of_calls(program(*CALLS), inside(0, 3), {6: "y"})
    ops = [[value.op for value in values] for values in found]

    assert [[op.name for op in call] for call in ops] == [["0"], ["1", "1:1"], ["2"]]
    assert [op.sources for call in ops for op in call] == [(), ("0",), ("0",), ("1",)]
    assert [op.type for call in ops for op in call][0::3] == [BACKEND, "aten::sum.out"]
    assert [op.output for call in ops for op in call] == ["", "", "", "y"]
    assert ops[1][1].not_comparable == "its values are int64"


def test_a_delegate_stands_for_its_ops_and_is_recorded_among_all_that_it_is_given() -> None:
    (value,), *_ = values_of_calls(program(*CALLS), inside(0, 3), {})

    assert value.position == 2  # behind the constant and the input
    assert (value.op.delegate, value.op.op_count) == (BACKEND, 3)


def test_hidden_ops_are_counted_once_for_several_values() -> None:
    (first, second), *_ = values_of_calls(program(Call("", 0, (0, 2, 3))), inside(0, 5), {})

    assert (first.op.op_count, second.op.op_count) == (4, 1)


def test_there_is_room_for_all_that_is_recorded() -> None:
    needed = 4 * (16 + 4 + 4) + (4 * 4 + 4 * 4 + 8 + 4 * 4 + 8) + 4 * (4 + 2)

    assert recorded_bytes(program(*CALLS)) >= needed


def test_a_call_without_arguments_gives_nothing() -> None:
    assert values_of_calls(program(Call("aten::none.out", None, ())), [], {}) == [[]]
