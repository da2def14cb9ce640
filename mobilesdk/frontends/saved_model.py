"""Read a TensorFlow SavedModel.

What it does
    Takes what a signature of the folder computes, op by op, as a module of torch whose weights have
    the names of their variables, and goes on as with any module: exports it, brings it into the one
    form that compressors and exporters work on, and checks that this changed nothing. Inputs and
    outputs have the names of the signature. Every op that the signature needs is looked at before
    TensorFlow loads anything, and those without a rule are refused by name. The module then has to
    compute what TensorFlow itself does.

When to use
    For a model of TensorFlow: of Keras (``model.export``), of ``tf.saved_model.save``, or of
    another team's training. A Keras model that you have as ``.keras`` is better given as that.

Cost
    As of reading a PyTorch module, some seconds to import TensorFlow, and a few runs of the model.

Limits
    One signature: ``serving_default``, the only one, or the one named (``./folder:NAME``). No
    loops, conditions, tables, texts, random numbers, and variables that change. Static shapes: a
    batch of 1, and the shape of the inputs or that of a contract. Images stay as TensorFlow takes
    them: ``NHWC``. Weights in float32, and in the folder.

References:
    https://www.tensorflow.org/guide/saved_model,
    https://www.tensorflow.org/api_docs/python/tf/raw_ops
"""

from __future__ import annotations

import tempfile
from importlib import import_module

from mobilesdk.core.contract import ModelSpec
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

plugin_api = 1


class SavedModelFrontend:
    """Reads a signature of a SavedModel by its folder."""

    tools = (
        Tool(distribution="torch", extra="torch"),
        Tool(distribution="tensorflow-cpu", extra="tensorflow"),
    )
    preloads = PROGRAM_PRELOADS  # without TensorFlow: it starts threads
    form = Form.EXPORTED_PROGRAM
    traits = frozenset({Trait.FOLDED})

    def claims(self, reference: str) -> bool:
        """Tell whether a reference is a folder that holds ``saved_model.pb``."""
        path = Reference.parse(reference).path
        return path is not None and (path / "saved_model.pb").is_file()

    def read(self, source: ModelSource, context: StepContext) -> Model:
        """Read the model; see `Frontend.read`.

        Raises:
            InvalidModel: It is damaged, has no such signature, computes what cannot be read, is no
                usable model, or is given as trusted.
            InvalidContract: The contract contradicts the model.
            ConversionFailed: torch cannot export it.
            ArtifactInvalid: The module, or preparation, changed what the model computes.
            FileRejected: It is hostile.
        """
        from mobilesdk.graph.capture import write_model
        from mobilesdk.graph.model_file import reading_file
        from mobilesdk.graph.module import checked_module, run_module
        from mobilesdk.graph.saved_model.folder import checked_files
        from mobilesdk.graph.saved_model.read import read_saved_model

        if source.trusted:
            raise InvalidModel(
                f"{source.reference} was given with --trust-model, and nothing of a SavedModel may "
                "run code.",
                hint="leave --trust-model out.",
            )
        with reading_file(source, context, checked_files) as folder:
            _import_tensorflow()
            signature = Reference.parse(source.reference).function
            found = read_saved_model(folder, signature, source.contract, context)
            module = checked_module(found.module)
            outputs = run_module(module, found.inputs).renamed(found.output_names)
            spec = ModelSpec(module, found.inputs.tensors)
            return write_model(spec, found.inputs, outputs, source.contract, context, found.run)


PLUGIN = SavedModelFrontend()


def _import_tensorflow() -> None:
    """Import TensorFlow without its notes, and away from the settings of the user for Keras.

    The exporter of torch is imported before: its compiler and that of TensorFlow crash in the
    other order. oneDNN is left out: its kernels round differently on every processor.
    """
    from mobilesdk.graph.environment import environment

    for name in PROGRAM_PRELOADS:
        import_module(name)
    with (
        tempfile.TemporaryDirectory() as home,
        environment(
            KERAS_HOME=home,
            TF_CPP_MIN_LOG_LEVEL="3",
            TF_ENABLE_ONEDNN_OPTS="0",
            CUDA_VISIBLE_DEVICES="-1",
        ),
    ):
        import tensorflow  # noqa: F401 # while the variables are set
