"""What is inside an artifact, as a tree and a table on stdout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from mobilesdk.cli.tables import console
from mobilesdk.core.artifact import (
    ArtifactInfo,
    ClassifierInfo,
    FunctionInfo,
    TensorInfo,
    WeightInfo,
)
from mobilesdk.units import format_bytes

_SHOWN_OPS = 12
_SHOWN_CLASSES = 3


def print_artifact(path: Path, info: ArtifactInfo) -> None:
    """Print what is inside an artifact."""
    out = console()
    tree = Tree(f"[bold]{escape(str(path))}[/]  {info.format}, {format_bytes(info.size_bytes)}")
    if info.function:
        tree.add(escape(f"function {info.function}, which runs by default"))
    _add_interface(tree, info)
    if info.signatures:
        branch = tree.add(f"signatures: {len(info.signatures)}, one for each size")
        for signature in info.signatures:
            branch.add(
                escape(f"{signature.name}: {', '.join(map(_tensor_text, signature.inputs))}")
            )
    for function in info.other_functions:
        _add_interface(tree.add(escape(f"function {function.name}")), function)
    if info.minimum_os:
        tree.add(escape(f"minimum OS {info.minimum_os}"))
    delegates = tree.add(f"delegates: {len(info.delegates) or 'none'}")
    for name, count in sorted(info.delegates.items()):
        delegates.add(escape(f"{name}: {count} subgraph(s)"))
    _add_ops(tree, info)
    out.print(tree)
    out.print(_weight_table(info))
    for reason in info.unverifiable:
        out.print(f"[yellow]unverifiable:[/] {escape(reason)}")
    for problem in info.problems:
        out.print(f"[red]problem[/] {escape(problem)}")
    for suspicion in info.suspicions:
        out.print(f"[yellow]unless planned so[/] {escape(suspicion)}")
    for remark in info.remarks:
        out.print(f"[dim]remark[/] {escape(remark)}")


def _add_interface(tree: Tree, of: ArtifactInfo | FunctionInfo) -> None:
    for title, tensors in (("inputs", of.inputs), ("outputs", of.outputs), ("states", of.states)):
        if title == "states" and not tensors:
            continue
        branch = tree.add(title)
        for tensor in tensors:
            branch.add(escape(_tensor_text(tensor)))
        if title == "outputs" and of.classifier:
            branch.add(escape(_class_text(of.classifier)))


def _tensor_text(tensor: TensorInfo) -> str:
    text = f"{tensor.name}: {tensor.dtype}{list(tensor.shape)}"
    if tensor.color_layout:
        text += f", an image ({tensor.color_layout})"
    return f"{text}, allowed: {tensor.flexibility}" if tensor.flexibility else text


def _class_text(classifier: ClassifierInfo) -> str:
    first = ", ".join(map(str, classifier.classes[:_SHOWN_CLASSES]))
    more = ", …" if len(classifier.classes) > _SHOWN_CLASSES else ""
    return (
        f"{classifier.label}: the best of {len(classifier.classes)} classes by "
        f"{classifier.probabilities} ({first}{more})"
    )


def _add_ops(tree: Tree, info: ArtifactInfo) -> None:
    counts = Counter((op.type, op.dtype, op.delegate) for op in info.ops)
    branch = tree.add(f"ops: {len(info.ops)}")
    for (kind, dtype, delegate), count in counts.most_common(_SHOWN_OPS):
        where = f" in {delegate}" if delegate else ""
        branch.add(escape(f"{count} × {kind} {dtype}{where}"))
    if len(counts) > _SHOWN_OPS:
        rest = sum(count for _, count in counts.most_common()[_SHOWN_OPS:])
        branch.add(f"{rest} of {len(counts) - _SHOWN_OPS} other kinds (--json lists all)")


def _weight_table(info: ArtifactInfo) -> Table:
    table = Table(title=f"weights: {len(info.weights)}", title_justify="left")
    has_several = bool(info.function or info.signatures)
    for column in ("weight", "op", "shape", "scheme", *(["functions"] if has_several else [])):
        table.add_column(column, overflow="fold")
    for column in ("bytes", "largest"):
        table.add_column(column, justify="right")
    for weight in info.weights:
        table.add_row(
            escape(weight.name),
            escape(weight.op),
            "×".join(map(str, weight.shape)),
            _scheme_text(weight),
            *([escape(", ".join(weight.functions))] if has_several else []),
            str(weight.size_bytes),
            f"{weight.fingerprint.abs_max:.4g}" if weight.finite else "[red]not finite[/]",
        )
    return table


def _scheme_text(weight: WeightInfo) -> str:
    vectors = f" vectors of {weight.vector_size}" if weight.vector_size > 1 else ""
    return f"{weight.scheme}{vectors}"
