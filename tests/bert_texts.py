"""Texts for the model of ``bert.py``: ids of 16 and of 64 tokens, of which some are padding."""

import numpy as np

VOCABULARY = 1100


def calibration():
    return _texts(1)


def evaluation():
    return _texts(2)


def _texts(seed):
    random = np.random.default_rng(seed)
    for place in range(32):
        length = (16, 64)[place % 2]
        mask = np.arange(length)[None] < random.integers(6, length)
        ids = random.integers(0, VOCABULARY, (1, length)) * mask
        yield {"ids": ids, "mask": mask.astype(np.float32)}
