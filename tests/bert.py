"""MiniLM's structure in small: two layers, 64 wide, with random weights; texts of any length."""

from __future__ import annotations

import torch
from transformers import BertConfig, BertModel

from examples.minilm import encoder_of
from mobilesdk import Dimension, ModelSpec
from tests import bert_texts

POSITIONS = 96
AXES = {"ids": 1, "mask": 1}


def any_length() -> ModelSpec:
    """The encoder for texts of 8 to 72 tokens."""
    return encoder_of(small(), Dimension(name="length", min=8, max=72, axes=AXES))


def listed_lengths() -> ModelSpec:
    """The encoder for texts of 16, 64 and 80 tokens."""
    return encoder_of(small(), Dimension(name="length", sizes=(16, 64, 80), axes=AXES))


def small() -> BertModel:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=bert_texts.VOCABULARY,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=POSITIONS,
        initializer_range=0.2,
        attn_implementation="eager",
    )
    return BertModel(config)
