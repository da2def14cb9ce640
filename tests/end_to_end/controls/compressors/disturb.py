"""A compressor that does harm to a program after everything was planned, or aborts."""

import os
import shutil
from pathlib import Path
from typing import Literal

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.model import ModelSummary
from mobilesdk.core.step import StepConfig

plugin_api = 1


class Config(StepConfig):
    how: Literal["scale_head", "swap_colours", "abort"]


class Disturb:
    config = Config
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset()
    adds = frozenset()

    def needs(self, config):
        return Needs.NONE

    def request(self, config, before):
        return before

    def refuse(self, config, summary):
        return []

    def apply(self, model, config, context):
        import torch

        if config.how == "abort":
            os.abort()
        from mobilesdk.graph.program import load_program, save_program

        program = load_program(model.path)
        summary = ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes())
        first, *_, head = [program.state_dict[weight.name] for weight in summary.weights]
        with torch.no_grad():
            if config.how == "scale_head":
                head.mul_(1.5)
            else:
                first.copy_(first.flip(1))
        save_program(program, context.output / "program.pt2")
        sidecars = {
            name: Path(shutil.copyfile(path, context.output / path.name))
            for name, path in model.sidecars.items()
        }
        return model.model_copy(
            update={"path": context.output / "program.pt2", "sidecars": sidecars}
        )


PLUGIN = Disturb()
