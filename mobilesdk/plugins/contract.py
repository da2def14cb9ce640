"""What a plug-in of each kind offers.

A plug-in is a module that defines ``plugin_api = 1`` and ``PLUGIN``, an object with the members of
one of the protocols below. The module imports without its toolchain: toolchains are imported inside
``apply``, ``read``, ``load`` only, which run in a worker process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.contract import Contract
from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.frozen import Frozen
from mobilesdk.core.layers import Observation, OpProfile
from mobilesdk.core.model import Model, ModelSummary
from mobilesdk.core.scheme import Request
from mobilesdk.core.source import ModelSource
from mobilesdk.core.step import StepConfig, StepContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLUGIN_API = 1

# Who executes an artifact here: the code that devices run, or a reference of what it should do.
ExecutedBy = Literal["runtime", "reference"]


PROGRAM_PRELOADS = ("torch._dynamo", "torch.export._trace")
"""`preloads` of plug-ins that load or export programs: torch, and what it imports for that."""


class Tool(Frozen):
    """A toolchain that a plug-in needs.

    Attributes:
        distribution: Name on the package index, e.g. ``coremltools``.
        extra: The extra of mobilesdk that installs it, e.g. ``coreml``.
    """

    distribution: str
    extra: str


class ExportOptions(Frozen):
    """Base of the ``[export]`` table of a target, less the keys that are not the exporter's own.

    Attributes:
        takes_fallback: Whether files of the format say which ops run outside a delegate. Where
            the phone decides that, a target cannot hold a file to its ``fallback`` key.
        takes_states: Whether the exporter can write models with states: as states of the file, or
            as inputs and outputs (`Contract.functional`).
        refuses_dimensions: Why the exporter can write no model with dimensions; empty if it can.
    """

    takes_fallback: ClassVar[bool] = True
    takes_states: ClassVar[bool] = False
    refuses_dimensions: ClassVar[str] = "its exporter writes static shapes"

    @property
    def lowest_os(self) -> str | None:
        """Lowest version of the operating system that loads the file; ``None`` if any does."""
        return None


class Plugin(Protocol):
    """What plug-ins of all kinds have in common."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Toolchains that must be installed for its work; inspecting an artifact needs none."""
        ...

    @property
    def preloads(self) -> tuple[str, ...]:
        """What takes long to import of its toolchains: modules, or ``module:function`` to call.

        Workers are copies of a process that has imported them: no import may start a thread.
        """
        ...


@runtime_checkable
class Frontend(Plugin, Protocol):
    """Reads a framework's model."""

    @property
    def form(self) -> Form:
        """Form of what it gives: where the steps of every variant begin."""
        ...

    @property
    def traits(self) -> frozenset[Trait]:
        """Traits of what it gives."""
        ...

    def claims(self, reference: str) -> bool:
        """Tell whether a MODEL argument is for this frontend, without importing anything."""
        ...

    def read(self, source: ModelSource, context: StepContext) -> Model:
        """Read the model in a worker.

        Writes into ``context.output``: ``original.pt2`` (as the user gave it), ``program.pt2``
        (prepared: folded), ``summary.json`` (`ModelSummary`), ``dependencies.json`` (files and
        distributions that the model was made from), ``example.safetensors`` (the example inputs).
        Gives the prepared program.

        Raises:
            InvalidModel: It cannot be read, or `ModelSource.weights` mean nothing to it.
            FileRejected: A file of it is hostile, or would run code and is not trusted.
        """
        ...


@runtime_checkable
class Compressor(Plugin, Protocol):
    """One compression method; keeps the form.

    Unless it has ``takes_states = True``, plans with it for models with states are refused, and
    unless it has ``takes_dimensions = True``, those for models with dimensions.
    """

    @property
    def config(self) -> type[StepConfig]:
        """Fields of a ``[[compress]]`` table, less its ``method``."""
        ...

    @property
    def accepts(self) -> frozenset[Form]:
        """Forms it works on."""
        ...

    @property
    def requires(self) -> frozenset[Trait]:
        """Traits the model must have."""
        ...

    @property
    def forbids(self) -> frozenset[Trait]:
        """Traits the model must not have."""
        ...

    @property
    def adds(self) -> frozenset[Trait]:
        """Traits the result has besides."""
        ...

    def needs(self, config: Any) -> Needs:
        """Tell what has to be given."""
        ...

    def request(self, config: Any, before: Request) -> Request:
        """Give what formats must be able to store after this step, from what they had to before."""
        ...

    def refuse(self, config: Any, summary: ModelSummary) -> list[str]:
        """Give every reason why the method cannot do this to a model; empty if it can."""
        ...

    def apply(self, model: Model, config: Any, context: StepContext) -> Model:
        """Compress in a worker; write ``program.pt2`` and ``compression.json``."""
        ...


@runtime_checkable
class Exporter(Plugin, Protocol):
    """Writes one format; both have the name of its file."""

    @property
    def options(self) -> type[ExportOptions]:
        """Fields of the target's ``[export]`` table."""
        ...

    @property
    def accepts(self) -> frozenset[Form]:
        """Forms it works on."""
        ...

    @property
    def suffix(self) -> str:
        """Suffix of the artifact, with its dot."""
        ...

    def needs(self, request: Request) -> Needs:
        """Tell what has to be given to store this request."""
        ...

    def refuse(self, options: Any, request: Request, summary: ModelSummary) -> list[str]:
        """Give every reason why the format cannot store the request; empty if it can."""
        ...

    def apply(self, model: Model, options: Any, context: StepContext) -> Model:
        """Export in a worker; write the artifact and ``expectation.json`` (`Expectation`).

        The result has the name of the format as its form.

        Raises:
            ConversionFailed: The converter refused the model.
        """
        ...


@runtime_checkable
class RuntimeSession(Protocol):
    """A loaded artifact."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on one sample; inputs and outputs have the contract's names and dtypes."""
        ...

    def findings(self) -> tuple[str, ...]:
        """Name what made infinity of finite numbers, or NaN, in the last run.

        A constant of the file that is not finite, a mask of ``-inf`` for example, is none.
        Empty if nothing did, or if the runtime shows no values. Each fails the artifact.
        """
        ...


@runtime_checkable
class StatefulSession(RuntimeSession, Protocol):
    """A loaded artifact of a model with states, which each run leaves to the next one."""

    def reset(self) -> None:
        """Begin a sequence: states are zeros before the next run."""
        ...


@runtime_checkable
class Runtime(Plugin, Protocol):
    """Reads and runs one format."""

    @property
    def suffix(self) -> str:
        """Suffix of its artifacts, with its dot."""
        ...

    def inspect(self, path: Path) -> ArtifactInfo:
        """Tell what is inside an artifact without running it and without a toolchain.

        Raises:
            FileRejected: The file is damaged or hostile.
        """
        ...

    def executes_by(self, info: ArtifactInfo) -> ExecutedBy:
        """Tell who runs the artifact here; `verified_by_reference` rests on it."""
        ...

    def refuses(self, info: ArtifactInfo) -> str:
        """Give the reason why this runtime cannot run the artifact here; empty if it can."""
        ...

    def load(self, path: Path, contract: Contract, threads: int) -> RuntimeSession:
        """Load an artifact from disk in a worker.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
        """
        ...


@runtime_checkable
class ObservedSession(Protocol):
    """A loaded artifact that shows the values between its ops."""

    @property
    def how(self) -> str:
        """Tell people how the values are obtained, and what that hides."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Iterable[Observation]:
        """Run once on one sample; give what each op gave, in the order of execution.

        Every run gives the same ops. Inputs have the contract's names and dtypes.
        """
        ...


@runtime_checkable
class ObservingRuntime(Protocol):
    """A runtime that can show the values inside an artifact: for ``inspect --layers``."""

    def observe(self, path: Path, contract: Contract, threads: int) -> ObservedSession:
        """Load an artifact from disk in a worker.

        Raises:
            ArtifactInvalid: It does not load, or its inputs and outputs contradict the contract.
        """
        ...


@runtime_checkable
class ProfilingRuntime(Protocol):
    """A runtime that can time the ops of an artifact: for ``inspect --profile``."""

    def profile(self, path: Path, run_count: int, threads: int) -> OpProfile:
        """Run an artifact on inputs of zeros in a worker, and time each of its ops.

        Raises:
            ArtifactInvalid: It does not load or run.
        """
        ...
