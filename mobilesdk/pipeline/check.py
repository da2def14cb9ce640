"""What came of looking at one thing."""

from __future__ import annotations

from typing import Literal

from mobilesdk.core.frozen import Frozen


class Check(Frozen):
    """One thing that was looked at.

    Attributes:
        verdict: ``measured`` is a figure without a limit: it has neither passed nor failed.
            ``unverifiable``: no run here can give the figure.
    """

    subject: str
    name: str
    verdict: Literal["passed", "failed", "measured", "not_evaluated", "unverifiable"]
    detail: str = ""
