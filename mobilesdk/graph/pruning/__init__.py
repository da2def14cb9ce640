"""Structured pruning: which channels depend on which, which ones go, and a program without them."""
