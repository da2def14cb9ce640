"""Read a Keras model.

What it does
    Loads a ``.keras`` file of Keras 3 on Keras's torch backend, takes the model as a module of
    torch whose weights have the paths that Keras gives them, and goes on as with any module:
    exports it, brings it into the one form that compressors and exporters work on, and checks that
    this changed nothing. Inputs and outputs have the names of the Keras model. The archive and the
    names in its configuration are looked at before Keras loads anything; what could run code is
    refused unless the model is trusted.

When to use
    For functional and sequential models of layers that Keras itself has.

Cost
    As of reading a PyTorch module, and a few seconds to import Keras.

Limits
    Layers whose code is elsewhere cannot be read: write such a model with ``model.export`` to a
    ``.pt2`` file. No lambdas, strings, or layers of TensorFlow. Static shapes: a batch of 1, and
    the shape of the inputs or that of a contract. Images stay as Keras takes them: ``NHWC``.
    Recurrent layers are written step by step. Weights in float32, and in the file.

References:
    https://keras.io/guides/serialization_and_saving/,
    https://keras.io/api/models/model_saving_apis/model_saving_and_loading/
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mobilesdk.core.contract import ModelSpec
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.core.source import ModelSource, Reference
from mobilesdk.core.step import StepContext
from mobilesdk.errors import InvalidModel
from mobilesdk.plugins.contract import PROGRAM_PRELOADS, Tool

plugin_api = 1


class KerasFrontend:
    """Reads a Keras model by its file."""

    tools = (Tool(distribution="torch", extra="torch"), Tool(distribution="keras", extra="keras"))
    preloads = PROGRAM_PRELOADS  # without Keras: it starts threads, and asks for its backend
    form = Form.EXPORTED_PROGRAM
    traits = frozenset({Trait.FOLDED})

    def claims(self, reference: str) -> bool:
        """Tell whether a reference is a ``.keras`` file."""
        path = Reference.parse(reference).path
        return path is not None and path.suffix == ".keras"

    def read(self, source: ModelSource, context: StepContext) -> Model:
        """Read the model; see `Frontend.read`.

        Raises:
            InvalidModel: It is damaged, made of layers whose code is elsewhere, or no usable model.
            InvalidContract: The contract contradicts the model.
            ConversionFailed: torch cannot export it.
            ArtifactInvalid: Preparation changed what the model computes.
            FileRejected: It is hostile, or could run code and is not trusted.
        """
        from mobilesdk.graph.keras_archive import check_keras_file
        from mobilesdk.graph.model_file import reading_file

        with reading_file(source, context) as path, tempfile.TemporaryDirectory() as home:
            check_keras_file(path, trusted=source.trusted)
            model = _load(path.absolute(), Path(home), trusted=source.trusted)
            return _write(model, source, context)


PLUGIN = KerasFrontend()


def _load(path: Path, home: Path, *, trusted: bool) -> Any:
    """Load a model on the torch backend.

    Args:
        path: The file.
        home: A folder for what Keras writes: its settings, and what it unpacks beside the file.
        trusted: Whether functions in the file may run.
    """
    from mobilesdk.graph.environment import environment

    with environment(KERAS_BACKEND="torch", KERAS_HOME=str(home)):
        import keras

    link = home / "model.keras"
    link.symlink_to(path)
    try:
        return keras.saving.load_model(link, compile=False, safe_mode=not trusted)
    except Exception as error:
        raise InvalidModel(
            f"Keras {keras.__version__} cannot load {path.name}: {type(error).__name__}: {error}",
            hint="load it with keras.saving.load_model where it was made, and save it again.",
        ) from error


def _write(model: Any, source: ModelSource, context: StepContext) -> Model:
    from mobilesdk.graph.capture import write_model
    from mobilesdk.graph.keras_module import KerasModule, check_policy, example_leaves, output_names
    from mobilesdk.graph.module import checked_module, run_module

    inputs = example_leaves(model, source.contract, context.seed)
    check_policy(model)
    module = checked_module(KerasModule(model))
    outputs = run_module(module, inputs).renamed(output_names(model))
    spec = ModelSpec(module, inputs.tensors)
    return write_model(spec, inputs, outputs, source.contract, context)
