"""The part of LiteRT's C API that times ops; its Python API has no profiler.

Structures and codes are those of ``litert/c/litert_profiler_event.h``, ``litert_layout.h`` and
``litert_model_types.h``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mobilesdk.core.artifact import TensorInfo
from mobilesdk.errors import ArtifactInvalid, ToolchainMissing

_ELEMENT_TYPES = {
    "float32": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float16": 10,
}
_CPU = 1
_MAX_AXES = 8

_Handle = ctypes.c_void_p


class _Layout(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_uint32),  # and, above the lowest 7 bits, whether there are strides
        ("sizes", ctypes.c_int32 * _MAX_AXES),
        ("strides", ctypes.c_uint32 * _MAX_AXES),
    )


class _TensorType(ctypes.Structure):
    _fields_ = (("element", ctypes.c_int), ("layout", _Layout))


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_size_t),
        ("in_use", ctypes.c_size_t),
        ("private", ctypes.c_size_t),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_before", _Memory),
        ("memory_after", _Memory),
        ("place", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


@dataclass(frozen=True)
class Event:
    """One event of a run.

    Attributes:
        tag: Type of the op, in the words of who ran it.
        kind: A bit of ``LiteRtProfilerEventType``.
        elapsed_us: Microseconds.
        place: Of the op: in the graph, or in the delegate.
    """

    tag: str
    kind: int
    elapsed_us: int
    place: int


def run_events(
    path: Path,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    *,
    run_count: int,
    threads: int,
) -> Iterator[list[Event]]:
    """Run a file on zeros; give the events of each run.

    Args:
        path: The ``.tflite`` file.
        inputs: Of its first signature, in the order of the file.
        outputs: Of its first signature, in the order of the file.
        run_count: How often.
        threads: That it may use.

    Raises:
        ArtifactInvalid: LiteRT does not load or run it.
    """
    with ExitStack() as stack:
        library = _Library(stack)
        environment = library.made("Environment", ctypes.c_int(0), None)
        options = library.made("Options")
        library.call("SetOptionsHardwareAccelerators", options, ctypes.c_int(_CPU))
        for name, value in (
            ("runtime_options_string", "enable_profiling = true"),
            ("xnnpack", f"num_threads = {threads}"),
        ):
            library.call("AddOpaqueOptions", options, library.opaque_options(name, value))
        model = library.made("Model", environment, str(path).encode(), by="CreateModelFromFile")
        compiled = library.made("CompiledModel", environment, model, options)
        taken = [
            library.buffer(environment, compiled, "Input", place, info)
            for place, info in enumerate(inputs)
        ]
        given = [
            library.buffer(environment, compiled, "Output", place, info)
            for place, info in enumerate(outputs)
        ]
        profiler = _Handle()
        library.call("CompiledModelGetProfiler", compiled, ctypes.byref(profiler))
        for _ in range(run_count):
            library.call("ResetProfiler", profiler)
            library.call("StartProfiler", profiler)
            library.call(
                "RunCompiledModel",
                compiled,
                ctypes.c_size_t(0),
                ctypes.c_size_t(len(taken)),
                (_Handle * len(taken))(*taken),
                ctypes.c_size_t(len(given)),
                (_Handle * len(given))(*given),
            )
            library.call("StopProfiler", profiler)
            yield library.events(profiler)


class _Library:
    """Calls functions of the library by name; destroys what it made at the end."""

    def __init__(self, stack: ExitStack) -> None:
        folder = files("ai_edge_litert")
        self._functions = ctypes.CDLL(str(folder.joinpath("libLiteRt.so")))
        if not hasattr(self._functions, "LiteRtGetProfilerEvents"):
            raise ToolchainMissing(
                "This version of ai-edge-litert has no profiler.",
                hint="install the version that mobilesdk doctor names.",
            )
        self._c = ctypes.CDLL(None)
        self._c.strdup.restype = _Handle
        self._stack = stack

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._functions, f"LiteRt{name}")(*arguments)
        if status:
            raise ArtifactInvalid(
                f"LiteRT does not run the file: {name} gives status {status}.",
                hint="mobilesdk inspect shows what the file holds.",
            )

    def made(self, kind: str, *arguments: Any, by: str = "") -> Any:
        handle = _Handle()
        self.call(by or f"Create{kind}", *arguments, ctypes.byref(handle))
        self._stack.callback(getattr(self._functions, f"LiteRtDestroy{kind}"), handle)
        return handle

    def opaque_options(self, name: str, toml: str) -> Any:
        """Give options that the model's options own from then on."""
        handle = _Handle()
        payload = _Handle(self._c.strdup(f"{toml}\n".encode()))
        free = ctypes.cast(self._c.free, _Handle)
        self.call("CreateOpaqueOptions", name.encode(), payload, free, ctypes.byref(handle))
        return handle

    def buffer(
        self, environment: Any, compiled: Any, direction: str, place: int, info: TensorInfo
    ) -> Any:
        """Give a buffer of zeros for an input or output."""
        needs = _Handle()
        self.call(
            f"GetCompiledModel{direction}BufferRequirements",
            compiled,
            ctypes.c_size_t(0),
            ctypes.c_size_t(place),
            ctypes.byref(needs),
        )
        kind = _tensor_type(info)
        buffer = self.made(
            "TensorBuffer",
            environment,
            ctypes.byref(kind),
            needs,
            by="CreateManagedTensorBufferFromRequirements",
        )
        self.call("ClearTensorBuffer", buffer)
        return buffer

    def events(self, profiler: Any) -> list[Event]:
        count = ctypes.c_int()
        self.call("GetNumProfilerEvents", profiler, ctypes.byref(count))
        events = (_Event * count.value)()
        self.call("GetProfilerEvents", profiler, count, events)
        return [
            Event(
                (item.tag or b"").decode(errors="replace"), item.kind, item.elapsed_us, item.place
            )
            for item in events
        ]


def _tensor_type(info: TensorInfo) -> _TensorType:
    if info.dtype not in _ELEMENT_TYPES or not len(info.shape) <= _MAX_AXES or -1 in info.shape:
        raise ArtifactInvalid(
            f"{info.name!r} is {info.dtype}{list(info.shape)}: only static tensors can be timed."
        )
    layout = _Layout(rank=len(info.shape))
    layout.sizes[: len(info.shape)] = info.shape
    return _TensorType(element=_ELEMENT_TYPES[info.dtype], layout=layout)
