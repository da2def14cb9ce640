"""Find and load target and profile files, shipped ones and users' own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobilesdk.errors import UnknownName, UsageError
from mobilesdk.targets.checks import check_profile, check_target
from mobilesdk.targets.faults import Fault, Problem, dotted, refuse
from mobilesdk.targets.lines import KeyPath, line_of, locate
from mobilesdk.targets.priorities import priority_faults
from mobilesdk.targets.profile import Profile
from mobilesdk.targets.target import Target

PROFILES = "profiles"
_LARGEST_FILE_BYTES = 1 << 18


def shipped_folder() -> Path:
    """Give the folder of the shipped files: inside the wheel, or of the checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "targets"


def shipped() -> list[str]:
    """List the names of the shipped targets, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


def shipped_profiles() -> list[str]:
    """List the names of the shipped profiles, sorted."""
    return sorted(_profile_files(None))


def find_targets(reference: str) -> tuple[Path, ...]:
    """Find the files that a ``--target`` argument means.

    Args:
        reference: Name of a shipped target, path of a file, or path of a folder of target files.

    Raises:
        UnknownName: Neither a name nor a path.
        UsageError: A folder without target files.
    """
    path = Path(reference)
    if path.is_dir():
        found = tuple(sorted(path.glob("*.toml")))
        if not found:
            raise UsageError(
                f"{path} holds no target files.", hint="give a folder with *.toml files."
            )
        return found
    if path.is_file():
        return (path,)
    if reference not in shipped():
        raise UnknownName("target", reference, shipped())
    return (shipped_folder() / f"{reference}.toml",)


def load_target(reference: str | Path) -> Target:
    """Load one target.

    Args:
        reference: Name of a shipped target, or path of a file.

    Raises:
        UnknownName: Neither a name nor a path.
        UsageError: A folder of several.
        InvalidTarget: Lists every fault with its line.
    """
    found = load_targets(str(reference))
    if len(found) > 1:
        raise UsageError(
            f"{reference} holds {len(found)} targets.",
            hint="name one of its files.",
        )
    return found[0][0]


def load_targets(reference: str | None = None) -> list[tuple[Target, Path]]:
    """Load every target that a reference means, each with the folder that its file is in.

    Args:
        reference: Name, file or folder; ``None`` for all shipped targets.

    Raises:
        UnknownName: Neither a name nor a path.
        UsageError: A folder without target files.
        InvalidTarget: Lists every fault of every file with its line.
    """
    paths = find_targets(str(shipped_folder()) if reference is None else reference)
    results = [(path, *_target(path)) for path in paths]
    loaded = [(target, path) for path, target, _ in results if target is not None]
    faults = [fault for _, _, found in results for fault in found] or priority_faults(loaded)
    if faults:
        raise refuse(faults)
    return [(target, path.parent) for target, path in loaded]


def load_profile(name: str, beside: Path | None = None) -> Profile:
    """Load a profile.

    Args:
        name: As a target names it.
        beside: Folder of the target's file; its ``profiles/NAME.toml`` goes before a shipped one.

    Raises:
        UnknownName: No such profile.
        InvalidTarget: Lists every fault with its line.
    """
    files = _profile_files(beside)
    if name not in files:
        raise UnknownName("profile", name, files)
    profile, faults = _profile(files[name])
    if profile is None or faults:
        raise refuse(faults)
    return profile


def profile_line(path: Path, family: str) -> int:
    """Give the line of a target's file that names the profile for a family of models."""
    lines = locate(path.read_text(encoding="utf-8"))
    return lines.get((PROFILES, family)) or line_of((PROFILES, "default"), lines)


def check_files(paths: Sequence[Path]) -> list[Fault]:
    """Find every fault of files and folders, as `check_file` does.

    Besides, no target may have the priority of another one among them or of a shipped one, because
    they can be built into one bundle.
    """
    faults = [fault for path in paths for fault in check_file(path)]
    files = {file.resolve(): file for path in paths for file in _target_files(path)}
    own = [(target, file) for file in files.values() if (target := _target(file)[0]) is not None]
    others = [(load_target(name), shipped_folder() / f"{name}.toml") for name in shipped()]
    return sorted([*faults, *priority_faults(own, others)], key=lambda fault: fault.place)


def check_file(path: Path) -> list[Fault]:
    """Find every fault of a file, or of all files of a folder and of its ``profiles``.

    A file in a folder named ``profiles`` is a profile, any other one a target.
    """
    if path.is_dir():
        files = sorted([*path.glob("*.toml"), *path.glob(f"{PROFILES}/*.toml")])
        if not files:
            return [Fault(path=path, line=1, key="", message="a folder without *.toml files")]
        return [fault for file in files for fault in check_file(file)]
    is_profile = path.resolve().parent.name == PROFILES
    return _profile(path)[1] if is_profile else _target(path)[1]


def _target_files(path: Path) -> list[Path]:
    """List the files of targets that a path means."""
    if path.is_dir():
        return [] if path.resolve().name == PROFILES else sorted(path.glob("*.toml"))
    return [path] if path.is_file() and path.resolve().parent.name != PROFILES else []


def _profile_files(beside: Path | None) -> dict[str, Path]:
    folders = [shipped_folder()] if beside is None else [shipped_folder(), beside]
    return {path.stem: path for folder in folders for path in (folder / PROFILES).glob("*.toml")}


def _target(path: Path) -> tuple[Target | None, list[Fault]]:
    document, lines, faults = read_toml(path)
    if document is None:
        return None, faults
    target, problems = check_target(document, path.stem, _profile_files(path.parent))
    return target, placed(problems, path, lines)


def _profile(path: Path) -> tuple[Profile | None, list[Fault]]:
    document, lines, faults = read_toml(path)
    if document is None:
        return None, faults
    profile, problems = check_profile(document)
    return profile, placed(problems, path, lines)


def read_toml(path: Path) -> tuple[dict[str, Any] | None, dict[KeyPath, int], list[Fault]]:
    """Parse a TOML file; give its content and lines, or the fault that makes it unreadable."""
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            return _unreadable(path, 1, f"larger than {_LARGEST_FILE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return _unreadable(path, 1, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return _unreadable(path, line, "not UTF-8 text")
    try:
        return tomllib.loads(text), locate(text), []
    except tomllib.TOMLDecodeError as error:
        # Python 3.11 gives the place of a syntax error in its message only.
        found = re.search(r"at line (\d+)", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        message = re.sub(r" \(at .*\)$", "", str(error))
        return _unreadable(path, line, f"not TOML: {message}")


def _unreadable(
    path: Path, line: int, message: str
) -> tuple[None, dict[KeyPath, int], list[Fault]]:
    return None, {}, [Fault(path=path, line=line, key="", message=message)]


def placed(problems: list[Problem], path: Path, lines: dict[KeyPath, int]) -> list[Fault]:
    """Give each problem its line, in the order of the lines."""
    faults = [
        Fault(
            path=path,
            line=line_of(item.path, lines),
            key=dotted(item.path),
            message=item.message,
            hint=item.hint,
        )
        for item in problems
    ]
    return sorted(faults, key=lambda fault: fault.place)
