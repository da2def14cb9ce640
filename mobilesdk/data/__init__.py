"""Calibration and evaluation sets: read, checked, prepared by the contract, stored."""

from __future__ import annotations

from mobilesdk.data.ingest import ingest
from mobilesdk.data.source import open_samples
from mobilesdk.data.stored import StoredSamples

__all__ = ["StoredSamples", "ingest", "open_samples"]
