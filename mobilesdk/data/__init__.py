"""Calibration and evaluation sets: read, checked, prepared by the contract, stored."""
