"""Check the content of a target or profile document: its schema, its plug-ins, its sense."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import UsageError, suggest
from mobilesdk.plugins import ExportOptions, compressor, exporter
from mobilesdk.targets.faults import Problem, validate
from mobilesdk.targets.lines import KeyPath
from mobilesdk.targets.match import ONLY_ON, MatchRule, model_key, version_key
from mobilesdk.targets.profile import CompressStep, Profile
from mobilesdk.targets.target import Export, Target

Document = Mapping[str, Any]


def check_target(
    document: Document, stem: str, profiles: Collection[str]
) -> tuple[Target | None, list[Problem]]:
    """Check a target document.

    Args:
        document: As ``tomllib`` gives it.
        stem: Name of the file without ``.toml``.
        profiles: Names of the profiles that can be referred to.

    Returns:
        The target, or ``None``, and every problem; the target stands only if there is none.
    """
    nested, problems = _nest(document, ("export",), Export, _options_of, "options")
    target, found = validate(Target, {**document, "export": nested})
    problems += found
    problems += _fallback_problems(document)
    problems += _id_problems(document, stem)
    problems += _profile_problems(document, profiles)
    problems += _rule_problems(document)
    if target is not None and not problems:
        problems += _os_problems(target)
    return target, problems


def check_profile(document: Document) -> tuple[Profile | None, list[Problem]]:
    """Check a profile document.

    Args:
        document: As ``tomllib`` gives it.

    Returns:
        The profile, or ``None``, and every problem; the profile stands only if there is none.
    """
    steps = document.get("compress", [])
    if not isinstance(steps, list):
        return validate(Profile, document)
    pairs = [
        _nest(document, ("compress", index), CompressStep, _config_of, "config")
        for index in range(len(steps))
    ]
    profile, found = validate(Profile, {**document, "compress": [nested for nested, _ in pairs]})
    return profile, [*found, *(problem for _, problems in pairs for problem in problems)]


def _options_of(export: Document) -> type[ExportOptions] | None:
    name = export.get("format")
    return exporter(name).options if isinstance(name, str) else None


def _config_of(step: Document) -> type[Frozen] | None:
    name = step.get("method")
    return compressor(name).config if isinstance(name, str) else None


def _nest(
    document: Document,
    at: KeyPath,
    owner: type[Frozen],
    class_of: Callable[[Document], type[Frozen] | None],
    field: str,
) -> tuple[Any, list[Problem]]:
    """Move a plug-in's keys out of a flat table into one field, with its defaults filled in."""
    table: Any = document
    for part in at:
        table = table.get(part) if isinstance(table, dict) else table[part]
    if not isinstance(table, dict):
        return table, []  # the schema of the owner says what is wrong with it
    own = [name for name in owner.model_fields if name != field]
    nested = {key: value for key, value in table.items() if key in own}
    rest = {key: value for key, value in table.items() if key not in own}
    try:
        plugin_class = class_of(table)
    except UsageError as error:
        name = "format" if owner is Export else "method"
        return nested, [Problem((*at, name), error.message.rstrip("."), error.hint.rstrip("."))]
    if plugin_class is None:
        return nested, []
    value, problems = validate(plugin_class, rest, at, also=_beside(plugin_class, own))
    if value is not None:
        nested[field] = value.model_dump(mode="json")
    return nested, problems


def _beside(plugin_class: type[Frozen], own: Collection[str]) -> Collection[str]:
    """Give the keys that a table may have beside those of its plug-in."""
    if issubclass(plugin_class, ExportOptions) and not plugin_class.takes_fallback:
        return [key for key in own if key != "fallback"]
    return own


def _fallback_problems(document: Document) -> Iterator[Problem]:
    export = document.get("export")
    if not isinstance(export, dict) or "fallback" not in export:
        return
    try:
        options = _options_of(export)
    except UsageError:
        return  # the format itself is at fault
    if options is not None and not options.takes_fallback:
        yield Problem(
            ("export", "fallback"),
            f"{export['format']} files do not say what runs where; the phone decides",
            "leave it out",
        )


def _id_problems(document: Document, stem: str) -> Iterator[Problem]:
    name = document.get("id")
    if isinstance(name, str) and name != stem:
        yield Problem(("id",), f"{name!r} is not the name of the file", f"write {stem!r}")


def _profile_problems(document: Document, known: Collection[str]) -> Iterator[Problem]:
    table = document.get("profiles")
    for key, name in table.items() if isinstance(table, dict) else ():
        if isinstance(name, str) and name not in known:
            yield Problem(
                ("profiles", key), f"no profile named {name!r}", suggest(name, sorted(known))
            )


def _rule_problems(document: Document) -> Iterator[Problem]:
    device, match = document.get("device"), document.get("match")
    platform = device.get("platform") if isinstance(device, dict) else None
    rules = match.get("any") if isinstance(match, dict) else None
    for index, raw in enumerate(rules if isinstance(rules, list) else ()):
        at: KeyPath = ("match", "any", index)
        rule = validate(MatchRule, raw)[0] if isinstance(raw, dict) else None
        if rule is None:
            continue  # the schema says what is wrong with it
        if not rule.model_fields_set:
            yield Problem(at, "a rule without conditions", "state at least os_min")
        for key in sorted(rule.model_fields_set):
            if platform in ("android", "ios") and ONLY_ON.get(key, platform) != platform:
                yield Problem((*at, key), f"is not known on {platform}", f"only {ONLY_ON[key]} is")
        for low, high in _empty_ranges(rule):
            yield Problem((*at, low), f"is above {high}, so no phone can match")


def _os_problems(target: Target) -> Iterator[Problem]:
    """Find versions by which a phone would get a file that it cannot load."""
    device, lowest = target.device, target.export.typed_options().lowest_os
    if lowest is not None and _is_below(device.min_os, lowest):
        yield Problem(
            ("device", "min_os"),
            f"{device.min_os} is below {lowest}, the first that loads what [export] asks for",
            f'write "{lowest}", or ask for an older format in [export]',
        )
    if device.max_os is not None and _is_below(device.max_os, device.min_os):
        yield Problem(("device", "max_os"), f"{device.max_os} is below min_os {device.min_os}")
    for index, rule in enumerate(target.match.any):
        if rule.os_min is not None and _is_below(rule.os_min, device.min_os):
            yield Problem(
                ("match", "any", index, "os_min"),
                f"{rule.os_min} is below min_os of [device], so phones match that cannot load it",
                f'write "{device.min_os}" or more',
            )


def _is_below(one: str, other: str) -> bool:
    """Compare two versions; ``18`` and ``18.0`` are one."""
    first, second = version_key(one), version_key(other)
    length = max(len(first), len(second))
    pad = (0,) * length
    return (*first, *pad)[:length] < (*second, *pad)[:length]


def _empty_ranges(rule: MatchRule) -> Iterator[tuple[str, str]]:
    """Give the pairs of conditions whose lowest value lies above their highest."""
    if rule.os_min and rule.os_max and version_key(rule.os_min) > version_key(rule.os_max):
        yield "os_min", "os_max"
    if rule.ram_min_bytes and rule.ram_max_bytes and rule.ram_min_bytes > rule.ram_max_bytes:
        yield "ram_min_bytes", "ram_max_bytes"
    if rule.model_min and rule.model_max and model_key(rule.model_min) > model_key(rule.model_max):
        yield "model_min", "model_max"
