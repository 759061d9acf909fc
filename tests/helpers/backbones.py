"""Tiny float64 backbones of every type with random weights, whose tokenizers know a small world. No downloads."""

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from softprompt.backbones.architectures import ARCHITECTURES, build_model
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.packing import read_texts
from softprompt.backbones.tokenizer import train_tokenizer
from softprompt.config import Architecture, WorldSettings

WORLD = WorldSettings(subjects=24)
BACKBONE_TYPES = ("bert", "roberta", "albert", "distilbert", "electra", "gpt2", "llama", "gpt_neox", "t5")


def trained_tokenizer(model_type: str, prepared: Path) -> PreTrainedTokenizerBase:
    """A tokenizer of a type that is pretrained here, which knows the small world."""
    texts = [
        line["text"]
        for name in ("lama/text/facts.jsonl", "superglue/text/documents.jsonl")
        for line in read_texts(prepared / name)
    ]
    answers = json.loads((prepared / "lama" / "text" / "answers.json").read_text())
    return train_tokenizer(model_type, texts[:2000], answers, 400)


def tiny_backbone(model_type: str, prepared: Path, positions: int = 128) -> Backbone:
    """An untrained float64 backbone whose tokenizer knows the small world."""
    tokenizer = trained_tokenizer(model_type, prepared)
    architecture = Architecture(
        type=model_type, hidden_size=16, heads=2, feed_forward_size=32, positions=positions, vocabulary_size=400
    )
    model = build_model(architecture, tokenizer, seed=1).double().eval()
    model.requires_grad_(False)
    return Backbone(f"tiny_{model_type}", ARCHITECTURES[model_type].kind, model, tokenizer, "test", has_lm_head=True)
