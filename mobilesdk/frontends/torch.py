"""Read a PyTorch model.

What it does
    Calls the function that ``package.module:factory`` or ``file.py:function`` names, exports the
    module that it returns, brings the program into the one form that compressors and exporters work
    on, and checks that this changed nothing. Any ``forward`` will do: several inputs and outputs,
    tuples, lists and dicts of tensors, integers. The program takes and gives the leaves of these.

When to use
    For every ``torch.nn.Module``. The function returns ``(module, example_inputs)``, or a
    `ModelSpec` that states the contract as well.

Cost
    Two exports and a few runs of the model; no data.

Limits
    Static shapes: those of the example inputs. Weights in float32. No control flow that depends on
    values, no buffers that change from call to call.

References:
    https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

if TYPE_CHECKING:
    from mobilesdk.graph.flatten import Leaves

plugin_api = 1


class TorchFrontend:
    """Reads a module by the function that makes it."""

    tools = (Tool(distribution="torch", extra="torch"),)
    preloads = PROGRAM_PRELOADS
    form = Form.EXPORTED_PROGRAM
    traits = frozenset({Trait.FOLDED})

    def claims(self, reference: str) -> bool:
        """Tell whether a reference names a function of a module or of a Python file."""
        source, colon, function = reference.rpartition(":")
        return bool(colon) and function.isidentifier() and _is_source(source)

    def read(self, reference: str, contract: Contract | None, context: StepContext) -> Model:
        """Read the model; see `Frontend.read`.

        Raises:
            InvalidModel: The reference, or what its function returned, is no usable module.
            InvalidContract: The contract contradicts the model.
            ConversionFailed: torch cannot export the module.
            ArtifactInvalid: Preparation changed what the model computes.
        """
        import torch

        from mobilesdk.graph.factory import call_factory
        from mobilesdk.graph.recorder import Recorder

        torch.set_num_threads(context.threads)
        torch.manual_seed(context.seed)
        recorder = Recorder()
        with recorder.recording(), torch.no_grad():
            context.report(f"calling {reference}")
            spec = call_factory(reference)
            model = _convert(spec, contract, context)
        _write_json(context.output / "dependencies.json", recorder.dependencies())
        return model


def _is_source(source: str) -> bool:
    return source.endswith(".py") or all(part.isidentifier() for part in source.split("."))


def _convert(spec: Any, given: Contract | None, context: StepContext) -> Model:
    """Export, prepare, check and write."""
    from mobilesdk.graph.contracts import check_outputs, make_contract
    from mobilesdk.graph.fidelity import check_fidelity
    from mobilesdk.graph.flatten import input_leaves
    from mobilesdk.graph.module import checked_module, export_module, run_module
    from mobilesdk.graph.prepare import prepare
    from mobilesdk.graph.program import save_program
    from mobilesdk.graph.summary import summarize

    module = checked_module(spec.module)
    inputs = input_leaves(module, spec.example_inputs)
    contract = make_contract(spec, inputs, run_module(module, inputs), given)
    inputs = inputs.renamed(each.name for each in contract.inputs)

    context.report("exporting", 0.2)
    original = export_module(module, inputs)
    context.report("preparing", 0.6)
    prepared = prepare(original)
    check_outputs(prepared, contract)
    fidelity_db = check_fidelity(original, prepared, inputs.tensors, contract, context.seed)
    context.report(f"prepared: {fidelity_db:.1f} dB from the original", 0.9)

    summary = summarize(prepared, contract)
    save_program(original, context.output / "original.pt2")
    save_program(prepared, context.output / "program.pt2")
    _write_json(context.output / "summary.json", summary.model_dump(mode="json"))
    _write_example(context.output / "example.safetensors", inputs)
    return Model(
        form=TorchFrontend.form,
        path=context.output / "program.pt2",
        traits=TorchFrontend.traits,
        sidecars={"summary": context.output / "summary.json"},
    )


def _write_example(path: Path, inputs: Leaves) -> None:
    from safetensors.torch import save_file

    save_file(
        {
            name: leaf.detach().contiguous().clone()
            for name, leaf in zip(inputs.names, inputs.tensors, strict=True)
        },
        path,
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


PLUGIN = TorchFrontend()
