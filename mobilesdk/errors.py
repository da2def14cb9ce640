"""Every error that mobilesdk raises on purpose, and the exit code each one ends in.

::

    MobileSDKError                 70  a bug in mobilesdk, unless a subclass says otherwise
    ├── UsageError                  2  an argument, a file or a model that the caller can change
    │   ├── UnknownName                a plug-in, target, profile or field that does not exist
    │   ├── InvalidTarget              a target or profile file that does not hold to its schema
    │   ├── InvalidContract            a contract that contradicts itself or the model
    │   ├── InvalidModel               a model that cannot be read
    │   ├── InvalidDataset             a calibration or evaluation set that cannot be used
    │   ├── OutputExists               the output is there and --overwrite was not given
    │   └── PlanRefused                a plan with problems; holds all of them
    ├── CheckFailed                 1  a gate, comparison or check that failed
    ├── ToolchainMissing            3  a toolchain that is not installed, or at an unusable version
    ├── StepFailed                  6  a step of a build that failed
    │   ├── ConversionFailed           a converter refused the model
    │   ├── CompressionIncomplete      an op or weight did not get what was asked for
    │   ├── DelegationRefused          ops outside the delegate where the target forbids that
    │   ├── ArtifactInvalid            the written file does not load, run or hold what it should
    │   ├── UnsupportedProgram         an ML Program with operations that the reference lacks
    │   ├── LimitExceeded              a run of an ML Program that takes more than it may
    │   ├── WorkerCrashed              the worker ended by a signal or without a result
    │   ├── WorkerTimedOut             the worker exceeded its time limit
    │   ├── WorkerOutOfMemory          the worker exceeded its memory limit
    │   └── WriteFailed                the file system refused a write (disk full, read-only)
    └── FileRejected                7  hostile or damaged content: hash, path escape, bounds

The code of each class is a heading in ``docs/errors.md``; ``mobilesdk explain CODE`` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple, Self

_NEXT_PROBLEM = "\n  - "


class Place(NamedTuple):
    """A file that is at fault, and its line, from 1.

    Attributes:
        file: Empty if no file is, or if the message names it already.
        line: ``None`` if it is about the whole file, or not known.
    """

    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


NO_PLACE = Place()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, as a value: an error in a list of several.

    Attributes:
        code: Heading in ``docs/errors.md``.
        message: What is wrong.
        hint: What to do now.
        file: As of `Place`.
        line: As of `Place`.
    """

    code: str
    message: str
    hint: str = ""
    file: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """Where, what, and what to do, on one line."""
        return f"{_where(Place(self.file, self.line))}{self.message} {self.hint}".strip()

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]"


def _where(place: Place) -> str:
    return f"{place}: " if place.file else ""


@dataclass(frozen=True)
class VariantFailure:
    """What a person has to know about a variant that could not be built.

    Attributes:
        model: Name of the model.
        target: Name of the target.
        step: The step that failed first.
        code: Of its error.
        message: What happened.
        hint: What to do now.
        exit_code: Of its error.
        file: As of `Place`.
        line: As of `Place`.
    """

    model: str
    target: str
    step: str
    code: str
    message: str
    hint: str
    exit_code: int
    file: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        """Where, and what happened."""
        return f"{_where(Place(self.file, self.line))}{self.message}"


class MobileSDKError(Exception):
    """Base of the tree; raised itself only for a state that should not be possible.

    Attributes:
        code: Heading in ``docs/errors.md``.
        exit_code: Of the command.
        log_helps: Whether the log of the step that raised it says more than the message.
        message: What happened.
        hint: What to do now.
        place: The file and line that are at fault, if some are.
        faults: What its message lists, where it stands for several.
        failures: The variants that it left unbuilt, where it ends a build that had begun.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 70
    log_helps: ClassVar[bool] = True

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        place: Place = NO_PLACE,
        faults: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        self.faults = tuple(faults)
        self.failures: tuple[VariantFailure, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The error as values: one, or one for each of the faults that it lists."""
        own = Problem(self.code, self.message, self.hint, *self.place)
        return self.faults or (own,)

    def about(self, subject: str) -> Self:
        """Give the same error with what it concerns before its message."""
        faults = [replace(each, message=f"{subject}: {each.message}") for each in self.faults]
        return self.restore(
            f"{subject}: {self.message}", self.hint, place=self.place, faults=faults
        )

    def __str__(self) -> str:
        lines = [f"{_where(self.place)}{self.message}"]
        if self.hint:
            lines.append(f"Fix: {self.hint}")
        lines.append(f"More: mobilesdk explain {self.code}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Give the fields that cross a process: ``code``, ``message``, ``hint``.

        And ``file`` and ``line``, where they are known.
        """
        value: dict[str, Any] = {"code": self.code, "message": self.message, "hint": self.hint}
        if self.place.file:
            value |= self.place._asdict()
        return value

    @classmethod
    def restore(
        cls,
        message: str,
        hint: str,
        *,
        place: Place = NO_PLACE,
        faults: Sequence[Problem] = (),
    ) -> Self:
        """Make the error again from the fields that crossed a process."""
        error = cls.__new__(cls)
        MobileSDKError.__init__(error, message, hint=hint, place=place, faults=faults)
        return error


class UsageError(MobileSDKError):
    """An argument, a file or a model that the caller can change."""

    code = "usage"
    exit_code = 2
    log_helps = False


class UnknownName(UsageError):
    """A plug-in, target, profile or field that does not exist."""

    code = "unknown-name"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"No {kind} named {name!r}.", hint=suggest(name, names))


class InvalidTarget(UsageError):
    """A target or profile file that breaks its schema; lists every fault with its line."""

    code = "invalid-target"


class InvalidContract(UsageError):
    """A contract that contradicts itself or the model."""

    code = "invalid-contract"


class InvalidModel(UsageError):
    """A model reference, factory or file that cannot be read as a model."""

    code = "invalid-model"


class InvalidDataset(UsageError):
    """A calibration or evaluation set that cannot be used, with the reason."""

    code = "invalid-dataset"


class OutputExists(UsageError):
    """The output is there and ``--overwrite`` was not given."""

    code = "output-exists"


class PlanRefused(UsageError):
    """A plan with problems; ``problems`` holds all of them, each with its own code."""

    code = "plan-refused"

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        lines = [f"The plan has {len(problems)} problem(s):", *map(str, problems)]
        super().__init__(_NEXT_PROBLEM.join(lines), hint=hint, faults=problems)


class CheckFailed(MobileSDKError):
    """A gate, comparison or check that failed."""

    code = "check-failed"
    exit_code = 1
    log_helps = False


class ToolchainMissing(MobileSDKError):
    """A toolchain that is not installed, or at a version that is known not to work."""

    code = "toolchain-missing"
    exit_code = 3
    log_helps = False


class StepFailed(MobileSDKError):
    """A step of a build that failed."""

    code = "step-failed"
    exit_code = 6
    log_helps = False


class ConversionFailed(StepFailed):
    """A converter refused the model."""

    code = "conversion-failed"
    log_helps = True


class CompressionIncomplete(StepFailed):
    """An op or weight did not get what was asked for, and the target does not allow that."""

    code = "compression-incomplete"


class DelegationRefused(StepFailed):
    """Ops stayed outside the delegate where the target forbids it; the message names them."""

    code = "delegation-refused"


class ArtifactInvalid(StepFailed):
    """The written file does not load, does not run, or does not hold what it should."""

    code = "artifact-invalid"
    log_helps = True


class UnsupportedProgram(StepFailed):
    """An ML Program with operations or arguments that the reference executor does not know."""

    code = "unsupported-program"


class LimitExceeded(StepFailed):
    """A run of an ML Program would take a larger tensor or more operations than it may."""

    code = "limit-exceeded"


class WorkerCrashed(StepFailed):
    """A worker ended by a signal, or without leaving a result."""

    code = "worker-crashed"
    log_helps = True


class WorkerTimedOut(StepFailed):
    """A worker exceeded its time limit and was ended."""

    code = "worker-timed-out"
    log_helps = True


class WorkerOutOfMemory(StepFailed):
    """A worker exceeded its memory limit and was ended."""

    code = "worker-out-of-memory"
    log_helps = True


class WriteFailed(StepFailed):
    """The file system refused a write: disk full, read-only, no permission."""

    code = "write-failed"


class FileRejected(MobileSDKError):
    """Hostile or damaged content: a wrong hash, a path that escapes, a size out of bounds."""

    code = "file-rejected"
    exit_code = 7
    log_helps = False


def suggest(name: str, known: Sequence[str]) -> str:
    """Give "did you mean …? Available: …" for a name that is not among the known ones."""
    close = get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}Available: {', '.join(known) or 'none'}."


def error_classes() -> dict[str, type[MobileSDKError]]:
    """Map each error code to its class; the codes are the headings of ``docs/errors.md``."""
    found: dict[str, type[MobileSDKError]] = {}
    pending: list[type[MobileSDKError]] = [MobileSDKError]
    while pending:
        error = pending.pop()
        found[error.code] = error
        pending.extend(error.__subclasses__())
    return dict(sorted(found.items()))
