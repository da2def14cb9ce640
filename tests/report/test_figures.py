"""The row of a variant shows the figure that its worst output has."""

import pytest

from mobilesdk.core.parity import Estimate, OutputParity, ParityReport
from mobilesdk.report.figures import worst_figures


def cells(*outputs):
    return worst_figures(ParityReport(sample_count=40, outputs=outputs))


def output(kind, **figures):
    estimates = {name: Estimate(value=value) for name, value in figures.items()}
    return OutputParity(name=kind, kind=kind, **estimates)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (output("classification", sqnr_db=20.0, top1_agreement=0.5), "50.0 % (50.0–50.0)"),
        (output("embedding", sqnr_db=20.0, cosine=0.5), "cosine 0.5000"),
        (output("other", equality=0.25, max_abs_error=1.0), "25.0 % (25.0–25.0)"),
    ],
)
def test_each_kind_of_output_has_its_figure(shown, expected):
    assert cells(shown)[1] == expected


def test_integers_do_not_hide_a_worse_output_of_floats():
    assert cells(output("other", equality=1.0), output("mask", sqnr_db=3.0, cosine=0.5)) == (
        "3.0 dB",
        "cosine 0.5000",
    )
