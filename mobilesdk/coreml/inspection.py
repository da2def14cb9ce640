"""What is inside a package: every function of it, and what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mobilesdk.core.artifact import ArtifactInfo, FunctionInfo, OpInfo, WeightInfo
from mobilesdk.coreml.constants import Constants
from mobilesdk.coreml.interface import describe_function
from mobilesdk.coreml.lints import lint
from mobilesdk.coreml.op_list import computing_ops
from mobilesdk.coreml.package import Package
from mobilesdk.coreml.program import BlobReference, Value
from mobilesdk.coreml.unverifiable import unverifiable_reasons
from mobilesdk.coreml.weights import read_weights
from mobilesdk.errors import FileRejected


@dataclass(frozen=True)
class _Contents:
    """One function; sentences are those of `ArtifactInfo`."""

    interface: FunctionInfo
    weights: tuple[WeightInfo, ...]
    ops: tuple[OpInfo, ...]
    problems: tuple[str, ...]
    suspicions: tuple[str, ...]
    remarks: tuple[str, ...]


def inspect_package(package: Package) -> ArtifactInfo:
    """Tell what is inside a package without running it.

    Raises:
        FileRejected: The package is damaged or hostile.
    """
    model = package.model
    default = model.default_function
    if default not in model.program.functions:
        raise FileRejected(f"The ML Program has no function named {default!r}.")
    names = sorted(model.program.functions, key=lambda name: name != default)  # it comes first
    found = {name: _read(package, name) for name in names}
    main, others = found[default], names[1:]
    return ArtifactInfo(
        format="coreml",
        size_bytes=package.layout.size_bytes,
        inputs=main.interface.inputs,
        outputs=main.interface.outputs,
        states=main.interface.states,
        classifier=main.interface.classifier,
        function=default if others else "",
        other_functions=tuple(found[name].interface for name in others),
        weights=tuple(_weights(package, found)) if others else main.weights,
        ops=tuple(_ops(found)) if others else main.ops,
        minimum_os=model.minimum_os,
        keeps_names=True,
        problems=_told({name: each.problems for name, each in found.items()}),
        suspicions=_told({name: each.suspicions for name, each in found.items()}),
        remarks=(
            *_told({name: each.remarks for name, each in found.items()}),
            *_not_run(default, others),
        ),
        unverifiable=unverifiable_reasons(op.type for op in main.ops),
    )


def _read(package: Package, name: str) -> _Contents:
    function = package.model.program.functions[name]
    interface, faults = describe_function(package.model, name)
    weights, problems = read_weights(package, function)
    findings = lint(package, function)
    return _Contents(
        interface=interface,
        weights=weights,
        ops=computing_ops(function),
        problems=(*faults, *problems, *findings.problems),
        suspicions=findings.suspicions,
        remarks=findings.remarks,
    )


def _weights(package: Package, found: Mapping[str, _Contents]) -> Iterator[WeightInfo]:
    """Give the weights of all functions, each with its functions; a shared one comes once."""
    weights: dict[object, WeightInfo] = {}
    functions: dict[object, list[str]] = {}
    for name, contents in found.items():
        constants = Constants(package, package.model.program.functions[name])
        for weight in contents.weights:
            stored = _stored_in(constants, weight.name) or (name, weight.name)
            key = (stored, weight.shape, weight.scheme)
            weights.setdefault(key, weight)
            functions.setdefault(key, []).append(name)
    for place, weight in weights.items():
        yield weight.model_copy(update={"functions": tuple(functions[place])})


def _stored_in(constants: Constants, name: str) -> frozenset[BlobReference]:
    """Give the places in the weight file that a constant is decoded from."""
    operations = constants.chain(name)
    given = [value for item in operations for value in item.attributes.values()]
    given += [
        value
        for item in operations
        for bound in item.inputs.values()
        for value in bound
        if isinstance(value, Value)
    ]
    return frozenset(item.content for item in given if isinstance(item.content, BlobReference))


def _ops(found: Mapping[str, _Contents]) -> Iterator[OpInfo]:
    for name, contents in found.items():
        for op in contents.ops:
            yield op.model_copy(update={"function": name})


def _told(said: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Put the names of the functions that a sentence is about before it, if there are several."""
    if len(said) == 1:
        return next(iter(said.values()))
    about: dict[str, list[str]] = {}
    for name, sentences in said.items():
        for sentence in dict.fromkeys(sentences):
            about.setdefault(sentence, []).append(name)
    return tuple(f"{', '.join(names)}: {sentence}" for sentence, names in about.items())


def _not_run(default: str, others: list[str]) -> Iterator[str]:
    if others:
        yield (
            f"Runs here are of the function {default}; looked at and not run: {', '.join(others)}."
        )
