"""Apple's tests of MIL operations, which coremltools ships, run through the reference executor.

``python -m tests.coreml.conformance`` runs all of them and writes a summary; ``adapter`` is the
pytest plug-in that lets them run here; ``known_failures`` lists what is expected to fail, and why.
"""
