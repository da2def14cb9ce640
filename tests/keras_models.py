"""Small Keras models, saved as users save them."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def keras_on_torch() -> Any:
    """Import Keras as the frontend does: on torch, and away from the settings of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", os.devnull)  # no folder: nothing is read or written
        import keras

        return keras


def save(model: Any, path: Path) -> Path:
    """Give all weights values that show when they are lost or swapped, and save the model."""
    generator = np.random.default_rng(0)
    for variable in model.variables:
        if "float" in variable.dtype and "state" not in variable.path:
            values = generator.normal(size=variable.shape, scale=0.3)
            if "variance" in variable.path:
                values = np.abs(values) + 0.5
            variable.assign(values.astype("float32"))
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorflow", None)  # not to be imported beside coremltools
        warnings.filterwarnings("ignore", message="__array__ implementation")  # torch and numpy 2
        model.save(path)
    return path


def images(keras: Any, size: int = 32) -> Any:
    """A small MobileNet: convolutions, norms, a depthwise one, a residual, an excitation."""
    layers = keras.layers
    x = image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = kept = layers.ReLU(6.0)(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_norm")(x)
    x = layers.ReLU(6.0)(x)
    weight = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weight = layers.Conv2D(4, 1, activation="relu", name="squeeze")(weight)
    weight = layers.Conv2D(8, 1, activation="sigmoid", name="excite")(weight)
    x = layers.Multiply()([x, weight])
    x = layers.Add()([x, kept])
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(16, 1, name="head")(x)
    x = layers.BatchNormalization(name="head_norm")(x)
    x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(10, name="scores")(x)
    return keras.Model(image, x, name="images")


def several_inputs(keras: Any) -> Any:
    """Ids and numbers in, a dict of two outputs out."""
    layers = keras.layers
    ids = keras.Input((6,), dtype="int32", name="ids")
    numbers = keras.Input((4,), name="numbers")
    words = layers.GlobalAveragePooling1D()(layers.Embedding(20, 8, name="words")(ids))
    both = layers.Concatenate()([words, layers.Dense(8, activation="relu", name="mix")(numbers)])
    return keras.Model(
        {"ids": ids, "numbers": numbers},
        {"label": layers.Dense(3, name="label_layer")(both), "size": layers.Dense(1)(both)},
    )


def sequence(keras: Any, layer: str = "LSTM", **options: Any) -> Any:
    """A recurrent layer over five steps."""
    recurrent = getattr(keras.layers, layer)(6, name="recurrent", **options)
    return keras.Sequential(
        [keras.Input(batch_shape=(1, 5, 3)), recurrent, keras.layers.Dense(2, name="scores")]
    )
