"""Metrics, intervals, activation ranges and fingerprints: plain numpy, usable alone."""
