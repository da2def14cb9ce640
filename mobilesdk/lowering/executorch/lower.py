"""Lower an exported program to the bytes of a ``.pte`` file, with one backend.

The vendor's converter logs and warns a lot; what it says is kept out of the way and comes back in
the error when it fails.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import torch

from mobilesdk.errors import ConversionFailed, MobileSDKError
from mobilesdk.graph.refusal import refused

_OP_NAME = re.compile(r"\b(?:aten|quantized_decomposed|torchvision)[.:]+\w+(?:\.\w+)?")
_HINTS = {
    "complex": "compute spectra with a convolution by the DFT matrix: complex tensors have no "
    "kernels.",
    "out variants": "replace the op by ones of the core ATen set.",
}


def export_module(
    module: torch.fx.GraphModule,
    example: Sequence[torch.Tensor],
    dynamic_shapes: Sequence[Mapping[int, Any]] = (),
) -> torch.export.ExportedProgram:
    """Export a module again after its graph was rewritten.

    Args:
        module: Takes and gives flat tensors.
        example: Inputs of its own shapes, in any layout: ExecuTorch takes plain ones only.
        dynamic_shapes: Axis → ``torch.export.Dim`` for each input; shapes are static without.

    Raises:
        ConversionFailed: torch cannot export it.
    """
    dynamic = tuple(map(dict, dynamic_shapes)) if any(dynamic_shapes) else None
    plain = tuple(value.clone(memory_format=torch.contiguous_format) for value in example)
    with quiet("torch.export"), torch.no_grad():
        return torch.export.export(module, plain, dynamic_shapes=dynamic)


def lower(program: torch.export.ExportedProgram, partitioners: list[Any]) -> Any:
    """Give the edge program with the parts that the partitioners take replaced by delegates.

    Raises:
        ConversionFailed: The converter refused the program.
    """
    from executorch.exir import to_edge_transform_and_lower

    with quiet("ExecuTorch", program):
        return to_edge_transform_and_lower(
            program, transform_passes=[_infer_sizes, _number_ops], partitioner=partitioners
        )


def _infer_sizes(module: torch.fx.GraphModule) -> Any:
    """Leave the one symbolic size of a view to the number of elements, as XNNPACK's views take it.

    Views with several such sizes stay outside of its delegates; at run time they cost nothing.
    """
    from executorch.exir.dialects._ops import ops
    from torch.fx.passes.infra.pass_base import PassResult

    has_changed = False
    for node in module.graph.find_nodes(op="call_function", target=ops.edge.aten.view_copy.default):
        sizes = list(node.args[1])
        symbolic = [place for place, size in enumerate(sizes) if not isinstance(size, int)]
        if len(symbolic) == 1 and -1 not in sizes:
            sizes[symbolic[0]] = -1
            node.args = (node.args[0], sizes)
            has_changed = True
    if has_changed:
        module.graph.eliminate_dead_code()
        module.recompile()
    return PassResult(module, has_changed)


def _number_ops(module: torch.fx.GraphModule) -> Any:
    """Give every op a debug handle by its place.

    The converter's own handles follow from addresses in memory, and are stored in the file.
    """
    from torch.fx.passes.infra.pass_base import PassResult

    for place, node in enumerate(module.graph.nodes):
        if node.op not in ("placeholder", "output"):
            node.meta["debug_handle"] = place
    return PassResult(module, True)


def serialize(edge: Any, states: Sequence[str] = ()) -> bytes:
    """Give the bytes of the ``.pte`` file for an edge program.

    Args:
        edge: What `lower` gave.
        states: Names of the buffers that the program changes. The file keeps their names and first
            values; by itself it would leave them to whatever the memory holds.

    Raises:
        ConversionFailed: The converter refused the program.
    """
    from executorch.exir import ExecutorchBackendConfig
    from executorch.exir.passes.init_mutable_pass import InitializedMutableBufferPass

    config = ExecutorchBackendConfig()
    if states:
        config = ExecutorchBackendConfig(
            passes=[InitializedMutableBufferPass([f"b_{name}" for name in states])],
            emit_mutable_buffer_names=True,
        )
    with quiet("ExecuTorch", edge.exported_program()):
        return bytes(edge.to_executorch(config).buffer)


def replace_payloads(edge: Any, backend: str, rewrite: Callable[[bytes], bytes]) -> None:
    """Rewrite what a backend prepared for each of its delegates, before it is serialized.

    Args:
        edge: An edge program with delegates; changed.
        backend: Name of the backend.
        rewrite: Gives the new payload for an old one.
    """
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    for module in edge.exported_program().graph_module.modules():
        if isinstance(module, LoweredBackendModule) and module.backend_id == backend:
            module._processed_bytes = rewrite(module.processed_bytes)  # it has no public setter


@contextmanager
def quiet(converter: str, program: torch.export.ExportedProgram | None = None) -> Iterator[None]:
    """Hold back what a converter logs, warns and prints, and turn what it raises into our error.

    Args:
        converter: What runs inside, for the message.
        program: What it converts.

    Raises:
        ConversionFailed: Something inside raised; names the op where the converter says it, and
            the lines of the model that call it.
    """
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    except MobileSDKError:
        raise
    except Exception as error:  # converters raise whatever they like, some a bare Exception
        raise _explained(converter, program, error) from error
    finally:
        logging.disable(level)


def _explained(
    converter: str, program: torch.export.ExportedProgram | None, error: Exception
) -> ConversionFailed:
    text = str(error).strip()
    named = _OP_NAME.search(text)
    first_line = text.splitlines()[0] if text else type(error).__name__
    where = f" at {named.group()}" if named else ""
    hint = next((advice for word, advice in _HINTS.items() if word in text.lower()), "")
    return refused(
        program,
        f"{converter} refused the model{where}: {first_line}",
        hint=hint or "rewrite the op named here, or give this target another backend.",
    )
