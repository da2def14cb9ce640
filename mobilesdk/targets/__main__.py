"""Write ``schema.json`` and ``profiles/schema.json`` beside the shipped files."""

from __future__ import annotations

import json
from pathlib import Path

from mobilesdk.targets.files import PROFILES, shipped_folder
from mobilesdk.targets.schemas import schemas


def schema_files(folder: Path) -> dict[Path, str]:
    """Map the schema files of a folder of targets to the text that they should have."""
    found = schemas()
    return {
        folder / "schema.json": _text(found["target"]),
        folder / PROFILES / "schema.json": _text(found["profile"]),
    }


def _text(schema: dict[str, object]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in schema_files(shipped_folder()).items():
        path.write_text(text, encoding="utf-8")
