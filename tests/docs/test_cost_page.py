"""The page of costs is what was measured, and the figures of a build are all of its steps."""

import json

from benchmarks.cost_page import PAGE, RECORD, page


def test_the_page_is_written_from_the_record():
    assert PAGE.read_text() == page(json.loads(RECORD.read_text()))


def test_the_converting_part_is_the_sum_of_its_steps_and_the_whole_is_more():
    rows = json.loads(RECORD.read_text())["efficientnet_lite0"]["measurements"]
    used = {row["what"]: row["cpu_seconds"] for row in rows}
    rest = ("step: verify", "step: float outputs", "step: evaluation set")
    parts = [
        row["cpu_seconds"]
        for row in rows
        if row["what"].startswith(("step: ", "import: ")) and not row["what"].startswith(rest)
    ]
    converting = used["build: the converting part"]
    assert abs(sum(parts) - converting) < 0.01
    assert converting < used["build: every shipped target, verified"]
