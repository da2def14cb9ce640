"""Look at a request before its models are read: reading imports a framework, and takes a while."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mobilesdk.bundle.manifest import MANIFEST_NAME
from mobilesdk.bundle.new_folder import remove_unfinished
from mobilesdk.bundle.writing import write_errors
from mobilesdk.core.form import Needs
from mobilesdk.core.source import Reference
from mobilesdk.data.folder import check_readable
from mobilesdk.errors import (
    InvalidDataset,
    InvalidModel,
    InvalidTarget,
    MobileSDKError,
    OutputExists,
    Problem,
    UsageError,
    WriteFailed,
    suggest,
)
from mobilesdk.pipeline.doctor import tool_faults
from mobilesdk.pipeline.keys import is_set
from mobilesdk.pipeline.places import check_length
from mobilesdk.pipeline.request import BuildRequest, ModelRequest, frontend_for
from mobilesdk.plugins import Tool, compressor, exporter, frontend, runtime
from mobilesdk.targets import (
    Profile,
    Target,
    find_targets,
    load_profile,
    load_target,
    priority_faults,
    refuse,
    shipped,
)

_SETS = (
    "give a folder of images, .wav or .txt files, a .npz, .npy or .txt, or package.module:iterable."
)


@dataclass
class Preflight:
    """What a request says without its models.

    Attributes:
        targets: Each with the folder of its file; the highest priority first.
        errors: What speaks against the request, apart from missing toolchains; each once.
        tools: Of the frontends, and of the targets asked for by name.
    """

    targets: list[tuple[Target, Path]] = field(default_factory=list)
    errors: list[MobileSDKError] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the request so far."""
        return not self.errors and not self.missing_tools

    @property
    def missing_tools(self) -> dict[str, str]:
        """Toolchains that are missing or known not to work, with the line that mends that."""
        return tool_faults(self.tools)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What the errors say, one by one."""
        return tuple(problem for error in self.errors for problem in error.problems)

    def note(self, error: MobileSDKError) -> None:
        """Add an error, unless it is known."""
        if not set(error.problems) <= set(self.problems):
            self.errors.append(error)


def preflight(request: BuildRequest) -> Preflight:
    """Check all of a request that can be checked without its models: every problem at once."""
    found = Preflight()
    _find_targets(request, found)
    for model in request.models:
        _check_model(model, request, found)
        _check_profiles(model, request, found)
    if request.targets or found.missing_tools:  # who has to install something installs it all
        for target, _ in found.targets:
            name = target.export.format
            found.tools.extend([*exporter(name).tools, *runtime(name).tools])
    return found


def missing_sets(model: ModelRequest) -> list[InvalidDataset]:
    """Give an error for each set or file of labels that is not there or may not be read."""
    found = []
    sets = {"calibration": model.calibration, "evaluation": model.evaluation}
    for role, path in sets.items():
        what = f"{model.name}: the {role} set"
        if path is not None and not is_set(path):
            found.append(InvalidDataset(f"{what} {path} does not exist.", hint=_SETS))
        elif path is not None and path.exists():
            try:
                check_readable(path)
            except InvalidDataset as error:
                found.append(error.about(what))
    if model.labels is not None and not model.labels.is_file():
        found.append(
            InvalidDataset(
                f"{model.name}: there is no file {model.labels} with labels.",
                hint="give a .csv with lines name,label, or a .npy.",
            )
        )
    return found


def check_output(output: Path, *, overwrite: bool) -> None:
    """Look, before hours of work, whether the bundle can be written in the end.

    Raises:
        OutputExists: The output is there, and ``overwrite`` is false or it is no bundle.
        UsageError: Its path is too long, or may not be read.
        WriteFailed: Nothing can be written there.
    """
    check_length(output)
    if output.parent.is_dir():
        with write_errors(output):
            remove_unfinished(output)
    if output.exists() and not overwrite:
        raise OutputExists(
            f"{output} exists.", hint="give --overwrite to replace it, or name another folder."
        )
    is_empty = output.is_dir() and not any(output.iterdir())
    if output.exists() and not is_empty and not (output / MANIFEST_NAME).is_file():
        raise OutputExists(
            f"{output} is no bundle, so it is not replaced.", hint="name another folder."
        )
    folder = next(place for place in output.absolute().parents if place.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()  # it has no name that could be left behind
    except OSError as error:
        raise WriteFailed(
            f"{output} cannot be written: {folder} {_reason(folder, error)}.",
            hint="name another folder.",
        ) from error


def _reason(folder: Path, error: OSError) -> str:
    if not folder.is_dir():
        return "is no folder"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "is read-only"
    return f"takes no file ({error.strerror})"


def _find_targets(request: BuildRequest, found: Preflight) -> None:
    loaded: list[tuple[Target, Path]] = []
    for name in request.targets or shipped():
        try:
            for path in find_targets(name):
                loaded.append((load_target(path), path))  # noqa: PERF401  partial on error
        except UsageError as error:
            found.note(error)
    files: dict[str, list[str]] = {}
    for target, path in loaded:
        files.setdefault(target.id, []).append(str(path))
    for name, given in sorted(files.items()):
        if len(given) > 1:
            found.note(
                InvalidTarget(
                    f"Two targets are named {name!r}: {' and '.join(given)}.",
                    hint="give one of them, or rename its file and its id.",
                )
            )
    faults = priority_faults(loaded)
    if faults:
        found.note(refuse(faults))
    loaded.sort(key=lambda pair: (-pair[0].match.priority, pair[0].id))
    found.targets.extend((target, path.parent) for target, path in loaded)
    for target, beside in found.targets:
        for profile in target.profiles.named().values():
            _check_profile(profile, target, beside, found)


def _check_model(model: ModelRequest, request: BuildRequest, found: Preflight) -> None:
    try:
        found.tools.extend(frontend(frontend_for(model.reference)).tools)
    except InvalidModel as error:
        found.note(error)
    for path in (Reference.parse(model.reference).path, model.weights):
        if path is not None and not path.exists():
            found.note(InvalidModel(f"There is no file {path}.", hint="check its path."))
    for missing in missing_sets(model):
        found.note(missing)
    if request.layer_sample_count and model.evaluation is None:
        found.note(
            InvalidDataset(
                f"{model.name}: layers are compared on an evaluation set.",
                hint="give --evaluation, or leave out --layers.",
            )
        )
    if model.calibration is None and request.targets:
        for target, beside in found.targets:
            methods = _methods_that_calibrate(target, beside)
            if methods:
                found.note(
                    InvalidDataset(
                        f"{model.name} for {target.id}: {', '.join(methods)} needs a calibration "
                        "set, in every profile of the target.",
                        hint="give --calibration, or name it in mobilesdk.toml.",
                    )
                )


def _check_profiles(model: ModelRequest, request: BuildRequest, found: Preflight) -> None:
    """Check the profiles that a project chose in place of the targets' own."""
    ids = {target.id for target, _ in found.targets}
    known = sorted({*ids, *shipped(), *request.other_targets})
    for name in model.profiles:
        if name not in known:
            found.note(
                UsageError(
                    f"{model.name} names a profile for {name!r}, which is no target:",
                    hint=suggest(name, known),
                )
            )
    for target, beside in found.targets:
        if target.id in model.profiles:
            _check_profile(model.profiles[target.id], target, beside, found)


def _methods_that_calibrate(target: Target, beside: Path) -> list[str]:
    """Name what needs a calibration set, if something does in each profile of a target."""
    try:
        profiles = [load_profile(name, beside) for name in target.profiles.named().values()]
    except UsageError:
        return []  # a fault that is noted elsewhere
    found = [_calibrating(profile) for profile in profiles]
    return sorted({method for methods in found for method in methods}) if all(found) else []


def _calibrating(profile: Profile) -> list[str]:
    return [
        step.method
        for step in profile.compress
        if compressor(step.method).needs(step.typed_config()) is not Needs.NONE
    ]


def _check_profile(name: str, target: Target, beside: Path, found: Preflight) -> None:
    try:
        load_profile(name, beside)
    except UsageError as error:
        found.note(error.about(target.id))
