"""Take a Keras model, loaded on the torch backend, as a module of torch with named weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mobilesdk.core.contract import Contract
from mobilesdk.errors import InvalidModel
from mobilesdk.graph.drawn_example import draw_input, stated_shapes
from mobilesdk.graph.flatten import Leaves
from mobilesdk.graph.identifiers import unique_names
from mobilesdk.graph.rewriting import add_tensor, named_tensor


class KerasModule(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
    """Calls a Keras model with weights that torch owns, under the paths that Keras gives them.

    Why: torch.export finds weights by the attributes of modules, and Keras takes them from its own
    variables, so that they become nameless constants. Variables that a call changes, such as the
    state of a stateful recurrent layer, are buffers that it changes.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = (model,)  # in a tuple: a module of torch would be a part of this one
        model.trainable = True  # a frozen weight is a weight all the same
        trained = {id(variable) for variable in model.trainable_variables}
        variables = [*model.variables, *_recurrent_states(model)]
        names = unique_names((variable.path for variable in variables), ".")
        self._variables = dict(zip(names, variables, strict=True))
        for name, variable in self._variables.items():
            value = variable.value.detach()
            add_tensor(self, name, value, parameter=id(variable) in trained)
        self.train(False)

    def forward(self, *inputs: Tensor) -> Any:
        """Run the model in evaluation mode on the leaves of its inputs."""
        import keras

        (model,) = self._model
        given = keras.tree.pack_sequence_as(_structure(model), list(inputs))
        values = {name: named_tensor(self, name) for name in self._variables}
        mapping = [(variable, values[name]) for name, variable in self._variables.items()]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            before = dict(scope.state_mapping)
            outputs = model(given, training=False)
        for name, variable in self._variables.items():
            value = scope.get_current_value(variable)
            if value is not before[id(variable)]:
                values[name].copy_(value)
        return outputs


def example_leaves(model: Any, given: Contract | None, seed: int) -> Leaves:
    """Draw example inputs: normal numbers, and zeros for integers; a batch is 1.

    Args:
        model: A Keras model.
        given: Whose shapes are taken where those of the model are open.
        seed: Of the numbers.

    Raises:
        InvalidModel: The model has no fixed inputs, or takes no numbers.
    """
    if not getattr(model, "built", False) or not getattr(model, "inputs", None):
        raise InvalidModel(
            "The Keras model has no inputs: it was saved before it was built.",
            hint="give it keras.Input layers, or call it once, and save it again.",
        )
    tensors = list(model.inputs)
    names = tuple(unique_names((tensor.name for tensor in tensors), "_"))
    stated = stated_shapes(names, given)
    generator = torch.Generator().manual_seed(seed)
    leaves = tuple(
        draw_input(
            f"The input {name!r} of the Keras model",
            tensor.shape,
            tensor.dtype,
            stated.get(name),
            generator,
        )
        for name, tensor in zip(names, tensors, strict=True)
    )
    return Leaves(leaves, names, pytree.tree_structure(leaves))


def output_names(model: Any) -> tuple[str, ...]:
    """Name the outputs after their keys, or else after the layers that give them."""
    import keras

    structure = getattr(model, "output", None)
    if isinstance(structure, dict):
        paths = (path for path, _ in keras.tree.flatten_with_path(structure))
        return tuple(unique_names(("/".join(map(str, path)) for path in paths), "_"))
    layers = (tensor._keras_history.operation.name for tensor in model.outputs)
    return tuple(unique_names(layers, "_"))


def check_policy(model: Any) -> None:
    """Refuse layers that do not compute in float32.

    Raises:
        InvalidModel: Names the first one.
    """
    for layer in model._flatten_layers():
        policy = layer.dtype_policy
        if policy.compute_dtype not in (None, "float32"):
            raise InvalidModel(
                f"The layer {layer.path!r} computes in {policy.name}.",
                hint="build the model under the dtype policy 'float32', load its weights, and save "
                "it again; compression starts from there.",
            )


def _recurrent_states(model: Any) -> list[Any]:
    """Give what stateful layers keep, which Keras does not count among the variables of a model."""
    import keras

    layers = (layer for layer in model._flatten_layers() if getattr(layer, "stateful", False))
    return [state for layer in layers for state in keras.tree.flatten(layer.states)]


def _structure(model: Any) -> Any:
    """Give what a model takes: a tensor, or a list or dict of tensors."""
    import keras

    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input
