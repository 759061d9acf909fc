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

RATE = 0.1
RATES = (  # what configurations call them
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "resid_pdrop", "embd_pdrop", "attn_pdrop"),
    *("attention_dropout", "hidden_dropout", "dropout", "dropout_rate"),
)


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


def dropping_backbone(model_type: str, prepared: Path, rate: float = RATE) -> Backbone:
    """A float64 backbone whose configuration has dropout everywhere."""
    backbone = tiny_backbone(model_type, prepared)
    config = backbone.model.config
    for name in RATES:
        if isinstance(getattr(config, name, None), float):
            setattr(config, name, rate)
    model = type(backbone.model)(config).double().eval()
    model.load_state_dict(backbone.model.state_dict())
    model.requires_grad_(False)
    return backbone.with_model(model)
