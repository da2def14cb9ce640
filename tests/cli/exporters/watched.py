"""Writes the linear stand-in for the runtime that shows its values."""

from typing import Literal

import numpy as np
from safetensors.numpy import save_file

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation
from mobilesdk.core.model import Model
from mobilesdk.plugins import ExportOptions

plugin_api = 1


class Options(ExportOptions):
    inside: Literal["open", "shut", "torn"] = "open"


class Watched:
    options = Options
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".watched"

    def needs(self, request):
        return Needs.NONE

    def refuse(self, options, request, summary):
        return []

    def apply(self, model, options, context):
        path, record = context.output / "model.watched", context.output / "expectation.json"
        weight = np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4)
        bias = np.arange(3, dtype=np.float32) / 4
        inside = np.frombuffer(options.inside.encode(), np.uint8)
        save_file({"weight": weight, "bias": bias, "inside": inside}, path)
        record.write_text(Expectation(weights=()).model_dump_json())
        return Model(form="watched", path=path, sidecars={"expectation": record})


PLUGIN = Watched()
