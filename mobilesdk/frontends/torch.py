"""Read a PyTorch model.

What it does
    Calls the function that ``package.module:factory`` or ``file.py:function`` names, loads a state
    file into the module that it returns if one is given, exports the module, brings the program
    into the one form that compressors and exporters work on, and checks that this changed nothing.
    Any ``forward`` will do: several inputs and outputs, tuples, lists and dicts of tensors,
    integers. The program takes and gives the leaves of these.

When to use
    For every ``torch.nn.Module``. The function returns ``(module, example_inputs)``, or a
    `ModelSpec` that states the contract as well.

Cost
    Two exports and a few runs of the model; no data.

Limits
    Shapes are those of the example inputs, but for the dimensions of the contract; a model that
    takes such a size for a constant is refused with its line. Weights in float32. No control flow
    that depends on values. Buffers that change from call to call are states of the contract; they
    start at zeros.

References:
    https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.core.step import StepContext
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

plugin_api = 1


class TorchFrontend:
    """Reads a module by the function that makes it."""

    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    form = Form.EXPORTED_PROGRAM
    traits = frozenset({Trait.FOLDED})

    def claims(self, reference: str) -> bool:
        """Tell whether a reference names a function of a module or of a Python file."""
        parsed = Reference.parse(reference)
        in_python = parsed.path is None or parsed.path.suffix == ".py"
        return in_python and bool(parsed.function)

    def read(self, source: ModelSource, context: StepContext) -> Model:
        """Read the model; see `Frontend.read`.

        Raises:
            InvalidModel: The reference, or what its function returned, is no usable module, or the
                state file does not fit it.
            InvalidContract: The contract contradicts the model.
            ConversionFailed: torch cannot export the module.
            ArtifactInvalid: Preparation changed what the model computes.
            FileRejected: The state file is a hostile archive.
            WriteFailed: The disk has no room for it.
        """
        import torch

        from mobilesdk.graph.capture import write_dependencies, write_model
        from mobilesdk.graph.factory import call_factory
        from mobilesdk.graph.flatten import input_leaves
        from mobilesdk.graph.module import checked_module, run_module
        from mobilesdk.graph.recorder import Recorder
        from mobilesdk.graph.state import load_state

        torch.set_num_threads(context.threads)
        torch.manual_seed(context.seed)
        recorder = Recorder()
        with recorder.recording(), torch.no_grad():
            context.report(f"calling {source.reference}")
            spec = call_factory(source.reference)
            if source.weights is not None:
                context.report(f"loading {source.weights.name}")
                recorder.require(source.weights)
                load_state(spec.module, source.weights)
            module = checked_module(spec.module)
            inputs = input_leaves(module, spec.example_inputs)
            outputs = run_module(module, inputs)
            model = write_model(spec, inputs, outputs, source.contract, context)
        write_dependencies(recorder, context)
        return model


PLUGIN = TorchFrontend()
