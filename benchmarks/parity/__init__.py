"""Parity of the reference executor: many networks, every operation set, and Apple's Core AI.

    python -m benchmarks.parity FOLDER

Each network goes through stages, each a process of its own that leaves a JSON file in FOLDER; a
stage whose file is there is not run again. ``reference`` computes what torch gives and how exact
that is, ``convert`` writes Core ML packages, ``execute`` runs them, ``coreai`` takes the same
network through Apple's Core AI for Linux, and ``compressed`` compares the two on the same
compressed weights. The results are gathered in ``benchmarks/parity/results.jsonl``, and
``docs/coreml_parity.md`` is written from them.
"""
