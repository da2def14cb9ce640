"""The tables of docs/compression.md are what the exporters answer, and name what is there."""

from __future__ import annotations

import re
from typing import get_args

from mobilesdk.core.scheme import Observer
from mobilesdk.graph.compression import Rounding
from mobilesdk.plugins import Kind, names

from .compression_table import PAGE, TABLES, written
from .test_tables import rows, section

TEXT = PAGE.read_text()


def test_tables_of_formats_are_what_exporters_answer() -> None:
    """Else run ``python -m tests.docs.compression_table``."""
    assert all(f"### {table}" in TEXT for table in TABLES)
    assert written(TEXT) == TEXT


def test_observers_and_roundings_are_all_explained() -> None:
    stated = tuple(row[0] for row in rows(section(TEXT, "Ranges of activations")))
    assert stated == get_args(Observer)
    stated = tuple(row[0] for row in rows(section(TEXT, "Rounding")))
    assert stated == get_args(Rounding)


def test_methods_that_are_named_exist() -> None:
    methods = set(names(Kind.COMPRESSORS))
    stated = {
        method for row in rows(section(TEXT, "Weights")) for method in re.findall(r"\w+", row[0])
    }
    assert stated <= methods
    assert {method for method in methods if method.startswith("quantize")} <= stated
