"""Run in a process of its own: the element types that coremltools' own definitions allow.

The last argument is a folder. Writes ``types.json``: for each iOS and operation, by parameter, the
name of its type domain, which others may share, and the element types allowed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import coremltools as ct
from coremltools.converters.mil.mil import types
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

TARGETS = {15: ct.target.iOS15, 16: ct.target.iOS16, 17: ct.target.iOS17, 18: ct.target.iOS18}


def described(definition: Any) -> dict[str, tuple[str, list[str]]]:
    found = {}
    for name, given in definition.input_spec.input_types.items():
        group = getattr(given, "type_domain_id", None)
        domain = definition.type_domains[group] if group else getattr(given, "type_domain", None)
        if domain:
            names = sorted(types.builtin_to_string(item) for item in domain)
            found[name] = (group or "", names)
    return found


def main(folder: Path) -> None:
    found: dict[int, dict[str, Any]] = {ios: {} for ios in TARGETS}
    for name, variants in SSAOpRegistry.core_ops.items():
        for ios, target in TARGETS.items():
            older = [version for version in variants if version <= target]
            if older:
                found[ios][name] = described(variants[max(older)])
    (folder / "types.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
