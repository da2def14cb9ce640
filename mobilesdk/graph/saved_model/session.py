"""Run a graph in TensorFlow itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobilesdk.errors import InvalidModel


class TensorFlowRun:
    """What TensorFlow computes for a graph whose ops have been looked at.

    Args:
        definition: ``GraphDef`` that holds nothing else.
        inputs: Names of the tensors that are fed.
        outputs: Names of those that are given.
        variables: Name of the op → value.
        threads: For TensorFlow.
    """

    def __init__(
        self,
        definition: Any,
        inputs: Sequence[str],
        outputs: Sequence[str],
        variables: Mapping[str, NDArray[Any]],
        threads: int,
    ) -> None:
        import tensorflow

        v1 = tensorflow.compat.v1
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        graph = tensorflow.Graph()
        config = v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=1,
            allow_soft_placement=True,
            device_count={"GPU": 0},
        )
        try:
            with graph.as_default():
                tensorflow.graph_util.import_graph_def(definition, name="")
                self._session = v1.Session(graph=graph, config=config)
                for name, value in variables.items():
                    handle = graph.get_tensor_by_name(f"{name}:0")
                    given = v1.placeholder(value.dtype, value.shape)
                    assign = tensorflow.raw_ops.AssignVariableOp(resource=handle, value=given)
                    self._session.run(assign, {given: value})
        except (tensorflow.errors.OpError, ValueError, TypeError, KeyError) as error:
            raise InvalidModel(
                f"TensorFlow cannot load the graph of the SavedModel: {error}",
                hint="write it again where it was made: it is damaged.",
            ) from error

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Give the outputs for inputs.

        Raises:
            InvalidModel: TensorFlow cannot run the graph on them.
        """
        from tensorflow import errors

        fed = {name: value.numpy() for name, value in zip(self._inputs, inputs, strict=True)}
        try:
            found = self._session.run(list(self._outputs), fed)
        except (errors.OpError, ValueError, TypeError) as error:
            told = ", ".join(str(list(value.shape)) for value in inputs)
            raise InvalidModel(
                f"TensorFlow cannot run the SavedModel on inputs of {told}: {error}",
                hint="state the shapes of its inputs in a contract (--contract).",
            ) from error
        return tuple(torch.from_numpy(np.array(each)) for each in found)
