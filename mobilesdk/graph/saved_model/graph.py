"""Take what a signature computes out of a SavedModel, and write it without calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mobilesdk.errors import InvalidModel
from mobilesdk.graph.saved_model.node import Node, Ref, attributes_of

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
VARIABLES = frozenset({"VarHandleOp"})
_PLUMBING = frozenset({"Const", "NoOp", "Placeholder"})
_MAX_NODES = 200_000
_MAX_DEPTH = 100


@dataclass
class FlatGraph:
    """What a signature computes, call by call, in an order of execution.

    Attributes:
        nodes: Each behind those that it takes.
        outputs: Where the outputs come from that were asked for.
        definition: The same as TensorFlow's ``GraphDef``, with calls, and without all else.
    """

    nodes: list[Node]
    outputs: tuple[Ref, ...]
    definition: Any


def flatten_graph(graph: Any, outputs: Sequence[str], supported: Iterable[str]) -> FlatGraph:
    """Take the ops that outputs need out of a graph, and look at each.

    Nothing is run: TensorFlow is asked for the definitions of ops only.

    Args:
        graph: ``GraphDef`` of unknown origin.
        outputs: Names of tensors in it.
        supported: Types of ops that may be in it, besides calls, constants and variables.

    Raises:
        InvalidModel: There are other ops, all of which are named; or the graph is damaged.
        FileRejected: It holds what no graph does.
    """
    flattener = _Flattener(graph, frozenset(supported) | _PLUMBING | VARIABLES)
    refs = flattener.outputs(outputs)
    flattener.check()
    return FlatGraph(flattener.nodes, refs, flattener.definition())


@dataclass
class _Scope:
    """Nodes that see each other: those of the graph, or of a function in one call.

    Attributes:
        nodes: By name.
        values: Outputs of the nodes and arguments that have been written.
        prefix: Of the call.
        depth: How many calls lead to it.
        function: Whether it is that of a function, which names outputs differently.
    """

    nodes: Mapping[str, Any]
    values: dict[str, list[Ref]] = field(default_factory=dict)
    prefix: str = ""
    depth: int = 0
    function: str = ""


class _Flattener:
    def __init__(self, graph: Any, supported: frozenset[str]) -> None:
        self._graph = graph
        self._supported = supported
        self._functions = {f.signature.name: f for f in graph.library.function}
        self._kept: dict[str, set[str]] = {}  # function, or nothing for the graph → its nodes
        self._unknown: dict[str, list[str]] = {}
        self._names = {node.name for node in graph.node}
        self._count = 0
        self.nodes: list[Node] = []

    def outputs(self, names: Sequence[str]) -> tuple[Ref, ...]:
        scope = _Scope({node.name: node for node in self._graph.node})
        self._write(scope, names)
        return tuple(self._ref(scope, name) for name in names)

    def check(self) -> None:
        """Refuse ops that are not supported.

        Raises:
            InvalidModel: Names all of them.
        """
        if not self._unknown:
            return
        told = "; ".join(
            f"{op} ({names[0]!r}{f' and {len(names) - 1} more' if names[1:] else ''})"
            for op, names in sorted(self._unknown.items())
        )
        raise InvalidModel(
            f"The SavedModel computes with ops that mobilesdk does not read: {told}.",
            hint="write that part with other ops, without loops, tables, files and variables that "
            "change, or leave it to the app; then save the model again.",
        )

    def definition(self) -> Any:
        """Give the graph with the nodes and functions that were written, and no others."""
        kept = type(self._graph)(versions=self._graph.versions)
        kept.node.extend(n for n in self._graph.node if n.name in self._kept[""])
        for name, function in self._functions.items():
            if name in self._kept:
                copied = kept.library.function.add()
                copied.CopyFrom(function)
                del copied.node_def[:]
                nodes = self._kept[name]
                copied.node_def.extend(n for n in function.node_def if n.name in nodes)
        return kept

    def _write(self, scope: _Scope, wanted: Iterable[str]) -> None:
        """Write all nodes that outputs of a scope need, by data or by control."""
        pending = [_node_name(name) for name in wanted]
        open_names: set[str] = set()
        while pending:
            name = pending[-1]
            if name in scope.values:
                pending.pop()
                continue
            node = self._node(scope, name)
            missing = [n for n in map(_node_name, node.input) if n not in scope.values]
            if not missing:
                scope.values[name] = self._written(scope, node)
                pending.pop()
            elif name in open_names:
                raise _damaged(f"{name!r} takes its own result")
            else:
                open_names.add(name)
                pending.extend(reversed(missing))

    def _node(self, scope: _Scope, name: str) -> Any:
        if name not in scope.nodes:
            raise _damaged(f"there is no node {name!r}, which another one takes")
        return scope.nodes[name]

    def _written(self, scope: _Scope, node: Any) -> list[Ref]:
        from tensorflow.python.framework import op_def_registry

        self._count += 1
        if self._count > _MAX_NODES:
            raise _damaged(f"its calls amount to more than {_MAX_NODES} ops")
        self._kept.setdefault(scope.function, set()).add(node.name)
        inputs = tuple(self._ref(scope, name) for name in node.input if not name.startswith("^"))
        if node.op in CALLS:
            return self._called(scope, node, inputs)
        definition = op_def_registry.get(node.op)
        is_inner_variable = node.op in VARIABLES and bool(scope.function)
        if node.op not in self._supported or definition is None or is_inner_variable:
            self._unknown.setdefault(node.op, []).append(node.name)
            return []
        attributes = attributes_of(node, definition)
        name = self._unique_name(scope, node.name)
        self.nodes.append(Node(name, node.op, inputs, attributes))
        return [(name, place) for place in range(_output_count(definition, attributes))]

    def _called(self, scope: _Scope, node: Any, inputs: tuple[Ref, ...]) -> list[Ref]:
        name = node.attr["f"].func.name
        function = self._functions.get(name)
        if function is None:
            raise _damaged(f"there is no function {name!r}, which {node.name!r} calls")
        if scope.depth >= _MAX_DEPTH:
            raise _damaged(f"more than {_MAX_DEPTH} calls lead to {name!r}")
        arguments = [argument.name for argument in function.signature.input_arg]
        if len(arguments) != len(inputs):
            raise _damaged(f"{node.name!r} gives {len(inputs)} of {len(arguments)} arguments")
        self._kept.setdefault(name, set())
        inner = _Scope(
            nodes={each.name: each for each in function.node_def},
            values={given: [ref] for given, ref in zip(arguments, inputs, strict=True)},
            prefix=f"{scope.prefix}{node.name}/",
            depth=scope.depth + 1,
            function=name,
        )
        results = [function.ret[output.name] for output in function.signature.output_arg]
        self._write(inner, [*results, *function.control_ret.values()])
        return [self._ref(inner, result) for result in results]

    def _ref(self, scope: _Scope, text: str) -> Ref:
        """Find what a name of a tensor stands for."""
        name, *parts = text.split(":")
        place = int(parts[-1]) if parts and parts[-1].isdecimal() else 0
        if len(parts) == 2:
            place += self._first_output(scope.nodes[name], parts[0])
        values = scope.values[name]
        if place >= len(values):
            if self._unknown:  # and who has unknown ops is told of these
                return (name, place)
            raise _damaged(f"there is no tensor {text!r}, which another node takes")
        return values[place]

    def _first_output(self, node: Any, wanted: str) -> int:
        """Give the number of the first tensor of a named output."""
        from tensorflow.python.framework import op_def_registry

        definition = op_def_registry.get(node.op)
        if definition is None:
            return 0
        if [output.name for output in definition.output_arg] == [wanted]:
            return 0
        attributes, place = attributes_of(node, definition), 0
        for output in definition.output_arg:
            if output.name == wanted:
                return place
            place += _length(output, attributes)
        raise _damaged(f"{node.name!r} has no output {wanted!r}")

    def _unique_name(self, scope: _Scope, own: str) -> str:
        """Give the name of a node without that of the call, unless another one has it."""
        if not scope.prefix:
            return own
        base = own if own not in self._names else f"{scope.prefix}{own}"
        name, number = base, 1
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        return name


def _output_count(definition: Any, attributes: Mapping[str, Any]) -> int:
    return sum(_length(output, attributes) for output in definition.output_arg)


def _length(output: Any, attributes: Mapping[str, Any]) -> int:
    if output.number_attr:
        return int(attributes[output.number_attr])
    return len(attributes[output.type_list_attr]) if output.type_list_attr else 1


def _node_name(text: str) -> str:
    return text.removeprefix("^").partition(":")[0]


def _damaged(what: str) -> InvalidModel:
    return InvalidModel(
        f"The graph of the SavedModel is damaged: {what}.",
        hint="write it again with tf.saved_model.save, or model.export of Keras.",
    )
