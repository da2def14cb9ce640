"""Reader of ExecuTorch programs: the container of a ``.pte`` file.

A ``.pte`` file is a flatbuffer (``program.fbs``, identifier ``ET12``) and, behind it, segments that
an extended header points to: constants, payloads of delegates, named data. Everything is checked
against the bounds of the file; nothing is copied.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from mobilesdk.errors import FileRejected
from mobilesdk.flatbuffers.reader import Table, open_table

METHOD = "forward"
MAX_AXES = 16
SCALAR_TYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}
ITEM_BYTES = {
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "bool": 1,
    "bfloat16": 2,
}

_IDENTIFIER = b"ET12"
_HEADER_PLACE = 8
_HEADER = struct.Struct("<4sIQQQ")  # magic, header, program, segment base, segment data (bytes)
_HEADER_MAGIC = b"eh00"
_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_TENSOR, _TENSOR_LISTS = 5, (10, 11)
_SEGMENT = 1
_STATIC = 0


@dataclass(frozen=True)
class TensorValue:
    """A tensor of a method.

    Attributes:
        name: Fully qualified name in the model, where the file keeps one.
        dtype: ``float32``, ``int8``, …
        shape: Sizes; upper bounds where the tensor is dynamic.
        data: Bytes of a constant; ``None`` for a tensor that is computed or given.
        is_state: Whether it is a buffer that outlives a run.
        has_first_value: Whether the file says what it holds before the first run.
        is_dynamic: Whether its sizes are upper bounds.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview | None
    is_state: bool = False
    has_first_value: bool = False
    is_dynamic: bool = False


@dataclass(frozen=True)
class Call:
    """One instruction that computes.

    Attributes:
        kernel: Name of the kernel with its overload, ``aten::add.out``; empty for a delegate.
        delegate: Place of the delegate; ``None`` for a kernel.
        arguments: Places of the values taken and given; outputs come last.
    """

    kernel: str
    delegate: int | None
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Delegate:
    """A part that a backend runs: the backend's name and what it prepared."""

    backend: str
    payload: memoryview


@dataclass(frozen=True)
class Program:
    """The method ``forward`` of a file.

    Attributes:
        tensors: Place of a value → tensor; a list of tensors stands for its first one.
        lists: Place of a list of tensors → places of its tensors.
        inputs: Places of the inputs.
        outputs: Places of the outputs.
        calls: In the order of execution.
        delegates: By place.
        named_data: Key → bytes that delegates refer to.
    """

    tensors: Mapping[int, TensorValue]
    lists: Mapping[int, tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    calls: tuple[Call, ...]
    delegates: tuple[Delegate, ...]
    named_data: Mapping[str, memoryview]


def read_program(data: memoryview) -> Program:
    """Read the method ``forward`` of a ``.pte`` file.

    Raises:
        FileRejected: The file is damaged or hostile, or holds no such method.
    """
    program_bytes, segment_base = _extent(data)
    root = open_table(data[:program_bytes], identifier=_IDENTIFIER)
    segments = _Segments(root, data, segment_base)
    plans = {plan.string(0): plan for plan in root.tables(1)}
    if METHOD not in plans:
        raise FileRejected(f"The program has no method {METHOD!r}, only {sorted(plans)}.")
    plan = plans[METHOD]
    tensors, lists = _tensors(plan, _Constants(root, segments))
    return Program(
        tensors=tensors,
        lists=lists,
        inputs=_tensor_places(plan, 3, tensors),
        outputs=_tensor_places(plan, 4, tensors),
        calls=_calls(plan),
        delegates=tuple(_delegate(item, root, segments) for item in plan.tables(7)),
        named_data={
            item.string(0): segments.segment(item.integer(1, "uint32")) for item in root.tables(7)
        },
    )


def _extent(data: memoryview) -> tuple[int, int]:
    """Give the size of the flatbuffer and where segments begin."""
    if len(data) < _HEADER_PLACE + _HEADER.size:
        raise FileRejected(f"{len(data)} bytes are too few for an ExecuTorch program.")
    magic, _, program_bytes, base, segment_bytes = _HEADER.unpack_from(data, _HEADER_PLACE)
    if magic != _HEADER_MAGIC:
        return len(data), len(data)
    if program_bytes > len(data) or base + segment_bytes > len(data):
        raise FileRejected(
            f"The program claims {base + segment_bytes} bytes, but the file has {len(data)}: it is "
            "cut off."
        )
    return program_bytes, base


class _Segments:
    """The segments behind the flatbuffer."""

    def __init__(self, root: Table, data: memoryview, base: int) -> None:
        self._data = data
        self._places = [
            (base + item.integer(0, "uint64"), item.integer(1, "uint64")) for item in root.tables(4)
        ]

    def segment(self, index: int) -> memoryview:
        if index >= len(self._places):
            raise FileRejected(f"Segment {index} of {len(self._places)} does not exist.")
        start, size = self._places[index]
        if start + size > len(self._data):
            raise FileRejected(f"Segment {index} lies outside the file.")
        return self._data[start : start + size]


class _Constants:
    """Bytes of constant tensors: in a segment, or in the flatbuffer of older files."""

    def __init__(self, root: Table, segments: _Segments) -> None:
        self._inline = root.tables(2)
        place = root.table(5)
        self._offsets = [] if place is None else place.array(1, "<u8").tolist()
        self._segment = (
            segments.segment(0 if place is None else place.integer(0, "uint32"))
            if self._offsets and len(self._offsets) > 1
            else memoryview(b"")
        )

    def bytes_of(self, index: int, size: int) -> memoryview:
        if self._inline:
            source, start = self._inline_buffer(index), 0
        elif index < len(self._offsets):
            source, start = self._segment, self._offsets[index]
        else:
            raise FileRejected(f"Constant {index} does not exist.")
        if start + size > len(source):
            raise FileRejected(f"Constant {index} of {size} bytes lies outside its segment.")
        return source[start : start + size]

    def _inline_buffer(self, index: int) -> memoryview:
        if index >= len(self._inline):
            raise FileRejected(f"Constant {index} does not exist.")
        return self._inline[index].data(0)


def _tensors(
    plan: Table, constants: _Constants
) -> tuple[dict[int, TensorValue], dict[int, tuple[int, ...]]]:
    """Give the tensors, and the lists of tensors that hold nothing else."""
    tensors: dict[int, TensorValue] = {}
    lists: dict[int, tuple[int, ...]] = {}
    for place, value in enumerate(plan.tables(2)):
        kind, held = value.integer(0, "uint8"), value.table(1)
        if held is None:
            continue
        if kind == _TENSOR:
            tensors[place] = _tensor(held, constants)
        elif kind in _TENSOR_LISTS:
            lists[place] = tuple(held.array(0, "<i4").tolist())
    firsts = {place: items[0] for place, items in lists.items() if items}
    firsts_known = {place: tensors[item] for place, item in firsts.items() if item in tensors}
    whole = {place: items for place, items in lists.items() if tensors.keys() >= set(items)}
    return tensors | firsts_known, whole


def _tensor(table: Table, constants: _Constants) -> TensorValue:
    code = table.integer(0, "int8")
    if code not in SCALAR_TYPES:
        raise FileRejected(f"Tensor has the unknown scalar type {code}.")
    dtype = SCALAR_TYPES[code]
    shape = tuple(table.array(2, "<i4").tolist())
    if len(shape) > MAX_AXES or any(size < 0 for size in shape):
        raise FileRejected(f"Tensor has the shape {shape[: MAX_AXES + 1]}.")
    extra = table.table(9)
    index, planned = table.integer(5, "uint32"), table.has(6)
    name = "" if extra is None else extra.string(1)
    data = None
    if index and not planned:
        data = constants.bytes_of(index, prod(shape) * ITEM_BYTES[dtype])
    is_state = planned and bool(index or name)
    return TensorValue(
        name,
        dtype,
        shape,
        data,
        is_state,
        has_first_value=planned and index > 0,
        is_dynamic=table.integer(8, "int8") != _STATIC,
    )


def _tensor_places(plan: Table, field: int, tensors: Mapping[int, TensorValue]) -> tuple[int, ...]:
    places = tuple(plan.array(field, "<i4").tolist())
    if bad := [place for place in places if place not in tensors]:
        raise FileRejected(f"Values {bad} are inputs or outputs, but no tensors.")
    return places


def _calls(plan: Table) -> tuple[Call, ...]:
    kernels = [_kernel_name(item) for item in plan.tables(6)]
    delegates = len(plan.tables(7))
    calls = []
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            kind, held = instruction.integer(0, "uint8"), instruction.table(1)
            if held is None or kind not in (_KERNEL_CALL, _DELEGATE_CALL):
                continue
            index = held.integer(0, "int32")
            known = len(kernels) if kind == _KERNEL_CALL else delegates
            if not 0 <= index < known:
                raise FileRejected(f"An instruction calls {index} of {known} kernels or delegates.")
            arguments = tuple(held.array(1, "<i4").tolist())
            if kind == _KERNEL_CALL:
                calls.append(Call(kernels[index], None, arguments))
            else:
                calls.append(Call("", index, arguments))
    return tuple(calls)


def _kernel_name(operator: Table) -> str:
    name, overload = operator.string(0), operator.string(1)
    return f"{name}.{overload}" if overload else name


def _delegate(table: Table, root: Table, segments: _Segments) -> Delegate:
    place = table.table(1)
    if place is None:
        raise FileRejected(f"Delegate {table.string(0)!r} has no data.")
    index = place.integer(1, "uint32")
    if place.integer(0, "int8") == _SEGMENT:
        return Delegate(table.string(0), segments.segment(index))
    inline = root.tables(3)
    if index >= len(inline):
        raise FileRejected(f"Delegate data {index} of {len(inline)} does not exist.")
    return Delegate(table.string(0), inline[index].data(0))
