"""Every ability of the command line, from Python.

    >>> import mobilesdk
    >>> result = mobilesdk.build("model.py:build", calibration="photos", output="bundle")

Progress goes to ``listener``; results are frozen values; what goes wrong is a `MobileSDKError`.
"""

from mobilesdk.api.building import build, plan
from mobilesdk.api.initialising import init
from mobilesdk.api.inspecting import inspect, inspect_layers, inspect_profile
from mobilesdk.api.maintaining import cache, doctor
from mobilesdk.api.reporting import report
from mobilesdk.api.verifying import verify

__all__ = [
    "build",
    "cache",
    "doctor",
    "init",
    "inspect",
    "inspect_layers",
    "inspect_profile",
    "plan",
    "report",
    "verify",
]
