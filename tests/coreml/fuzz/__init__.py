"""Damaged Core ML packages, by the thousand: each is read and run, or refused with a typed error.

``python -m tests.coreml.fuzz --count 100000`` makes packages from the seeds in ``seeds``, each
damaged in a way that its number decides (``mutate``), and takes each through everything that reads
a package, in processes with limits for memory and time (``attempt``).
"""
