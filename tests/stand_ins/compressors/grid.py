"""A compressor that needs a calibration set and leaves a model quantized; changes nothing."""

import shutil
from pathlib import Path

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.step import StepConfig

plugin_api = 1


class Grid:
    config = StepConfig
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.QUANTIZED})
    adds = frozenset({Trait.QUANTIZED})

    def needs(self, config):
        return Needs.CALIBRATION

    def request(self, config, before):
        return before

    def refuse(self, config, summary):
        return []

    def apply(self, model, config, context):
        assert len(context.calibration) > 0
        files = {
            name: Path(shutil.copyfile(path, context.output / path.name))
            for name, path in {"path": model.path, **model.sidecars}.items()
        }
        return model.model_copy(update={"path": files.pop("path"), "sidecars": files})


PLUGIN = Grid()
