"""Write a module as the two programs that all steps start from, with their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from mobilesdk.bundle.writing import require_space
from mobilesdk.core.contract import Contract, ModelSpec
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.step import StepContext
from mobilesdk.graph.contracts import check_outputs, make_contract, with_states
from mobilesdk.graph.dimensions import export_example, run_at_all_sizes, with_varying_outputs
from mobilesdk.graph.eager import check_export
from mobilesdk.graph.fidelity import check_fidelity
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.framework_run import Run, check_run
from mobilesdk.graph.module import export_module, size_bytes
from mobilesdk.graph.prepare import prepare
from mobilesdk.graph.program import save_program
from mobilesdk.graph.recorder import Recorder
from mobilesdk.graph.summary import summarize
from mobilesdk.graph.symbols import contract_shapes


def write_model(
    spec: ModelSpec,
    inputs: Leaves,
    outputs: Leaves,
    given: Contract | None,
    context: StepContext,
    computes: Run | None = None,
) -> Model:
    """Export, prepare, check and write: all files of `Frontend.read` but ``dependencies.json``.

    Args:
        spec: A module that `checked_module` has passed, and what is stated of it.
        inputs: Its example inputs; their names are used where the spec states none.
        outputs: What it gives for them.
        given: A contract that goes before the spec's.
        context: Of the step.
        computes: What the framework that the module was written from gives for leaf tensors.

    Raises:
        InvalidModel: The module is not usable.
        InvalidContract: The contract contradicts the model.
        ConversionFailed: torch cannot export the module.
        ArtifactInvalid: It does not do what its framework does, or exporting or preparation changed
            what the model computes.
        WriteFailed: The disk has no room for the two programs.
    """
    require_space({context.output: 2 * size_bytes(spec.module)})
    contract = make_contract(spec, inputs, outputs, given)
    inputs = inputs.renamed(each.name for each in contract.inputs)

    context.report("exporting", 0.2)
    run_at_all_sizes(spec.module, inputs, contract)
    original, states = export_module(
        spec.module, export_example(contract, inputs), contract_shapes(contract)
    )
    contract = with_varying_outputs(with_states(contract, states), original)
    check_export(spec.module, inputs, original, contract, context.seed)
    if computes is not None:
        check_run(computes, inputs, original, contract, context.seed)
    context.report("preparing", 0.6)
    prepared = prepare(original)
    check_outputs(prepared, contract.functional)
    example = (*inputs.tensors, *states.values())
    fidelity_db = check_fidelity(original, prepared, example, contract.functional, context.seed)
    context.report(f"prepared: {fidelity_db:.1f} dB from the original", 0.9)

    summary = summarize(prepared, contract)
    save_program(original, context.output / "original.pt2")
    save_program(prepared, context.output / "program.pt2")
    _write_json(context.output / "summary.json", summary.model_dump(mode="json"))
    _write_example(context.output / "example.safetensors", inputs)
    return Model(
        form=Form.EXPORTED_PROGRAM,
        path=context.output / "program.pt2",
        traits=frozenset({Trait.FOLDED}),
        sidecars={"summary": context.output / "summary.json"},
    )


def write_dependencies(recorder: Recorder, context: StepContext) -> None:
    """Write what the model was made from."""
    _write_json(context.output / "dependencies.json", recorder.dependencies())


def _write_example(path: Path, inputs: Leaves) -> None:
    save_file(
        {
            name: leaf.detach().contiguous().clone()
            for name, leaf in zip(inputs.names, inputs.tensors, strict=True)
        },
        path,
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
