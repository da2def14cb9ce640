"""Read a program that torch.export saved.

What it does
    Reads a ``.pt2`` file, takes it as a flat module on its example inputs, and goes on as with any
    module: exports it, brings it into the one form that compressors and exporters work on, and
    checks that this changed nothing. Nothing is unpickled: weights are read as bytes, example
    inputs with ``weights_only=True``, and every text in the description of the program has to be
    what an ordinary file holds. What could run code is refused unless the model is trusted; then
    ``torch.export.load`` reads the file.

When to use
    For a model whose source is elsewhere: exported on another machine, or by another team.

Cost
    As of reading a PyTorch module.

Limits
    One program, exported in evaluation mode by torch 2.13 or one that writes the same version of
    the format, with example inputs. Shapes are those of the example, but for the dimensions of a
    contract given with it, which have to be symbols in the program too. Ops of torch itself
    (``aten``). Weights in float32, and in the file: a state file beside it is refused.

References:
    https://docs.pytorch.org/docs/stable/export.html,
    https://docs.pytorch.org/docs/stable/export/pt2_archive.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mobilesdk.core.contract import ModelSpec
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

if TYPE_CHECKING:
    from torch.export import ExportedProgram

plugin_api = 1


class TorchExportFrontend:
    """Reads a program by its file."""

    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    form = Form.EXPORTED_PROGRAM
    traits = frozenset({Trait.FOLDED})

    def claims(self, reference: str) -> bool:
        """Tell whether a reference is a ``.pt2`` file."""
        path = Reference.parse(reference).path
        return path is not None and path.suffix == ".pt2"

    def read(self, source: ModelSource, context: StepContext) -> Model:
        """Read the program; see `Frontend.read`.

        Raises:
            InvalidModel: It is damaged, of another version, or no usable program.
            InvalidContract: The contract contradicts the program.
            ConversionFailed: torch cannot export it again.
            ArtifactInvalid: Preparation changed what the program computes.
            FileRejected: It is hostile, or could run code and is not trusted.
        """
        from mobilesdk.graph.capture import write_model
        from mobilesdk.graph.foreign_program import as_flat_module
        from mobilesdk.graph.model_file import reading_file

        with reading_file(source, context) as path:
            program = _trusted_program(path) if source.trusted else _foreign_program(path)
            module, inputs, outputs = as_flat_module(program)
            spec = ModelSpec(module, inputs.tensors)
            return write_model(spec, inputs, outputs, source.contract, context)


def _foreign_program(path: Path) -> ExportedProgram:
    from mobilesdk.graph.pt2_archive import read_foreign_program

    return read_foreign_program(path)


def _trusted_program(path: Path) -> ExportedProgram:
    import torch

    from mobilesdk.graph.archive import checked_entries

    checked_entries(path)
    try:
        return torch.export.load(path)
    except Exception as error:
        raise InvalidModel(
            f"torch.export.load cannot read {path.name}: {type(error).__name__}: {error}",
            hint=f"save it again with torch.export.save of torch {torch.__version__}.",
        ) from error


PLUGIN = TorchExportFrontend()
