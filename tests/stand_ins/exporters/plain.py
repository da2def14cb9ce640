"""Writes the weights of the linear stand-in as safetensors, rightly or in a wrong way."""

import os
import signal
import time
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save

from mobilesdk.core.form import Form, Needs
from mobilesdk.core.ledger import Expectation, ExpectedWeight
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import ConversionFailed
from mobilesdk.numerics.fingerprint import fingerprint
from mobilesdk.plugins import ExportOptions

plugin_api = 1
WEIGHT = np.cos(np.arange(12, dtype=np.float32)).reshape(3, 4)
BIAS = np.arange(3, dtype=np.float32) / 4


class Options(ExportOptions):
    how: Literal["right", "scaled", "swapped", "outside", "overflow", "crash", "refuse", "hang"] = (
        "right"
    )
    store: Literal["file", "folder"] = "file"
    padding_bytes: int = 0
    note: str = ""


class Plain:
    options = Options
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".plain"

    def needs(self, request):
        return Needs.NONE

    def refuse(self, options, request, summary):
        return ["it stores no notes"] if options.note == "refused" else []

    def apply(self, model, options, context):
        if options.how == "crash":
            os.abort()
        if options.how == "hang":
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            Path(options.note).write_text(str(os.getpid()))
            time.sleep(600)
        if options.how == "refuse":
            raise ConversionFailed("it is not to be", hint="give up")
        weight = {"scaled": WEIGHT * 1.01, "swapped": WEIGHT[:, ::-1]}.get(options.how, WEIGHT)
        content = {
            "weight": np.ascontiguousarray(weight),
            "bias": BIAS,
            "padding": np.zeros(options.padding_bytes, np.uint8),
            "outside": np.array([options.how == "outside"], np.uint8),
            "overflow": np.array([options.how == "overflow"], np.uint8),
        }
        path = context.output / "model.plain"
        if options.store == "folder":
            path.mkdir()
            (path / "weights").write_bytes(save(content))
        else:
            path.write_bytes(save(content))
        summary = ModelSummary.model_validate_json(model.sidecars["summary"].read_bytes())
        expectation = Expectation(
            weights=tuple(
                ExpectedWeight(
                    name=known.name,
                    artifact_name="weight",
                    shape=known.shape,
                    requested=WeightScheme(),
                    planned=WeightScheme(),
                    fingerprint=fingerprint(WEIGHT),
                )
                for known in summary.weights
            )
        )
        record = context.output / "expectation.json"
        record.write_text(expectation.model_dump_json())
        return Model(form="plain", path=path, sidecars={"expectation": record})


PLUGIN = Plain()
