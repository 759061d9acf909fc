"""Tiny versions of known architectures: real `transformers` classes, sized from settings, with fresh weights."""

from collections.abc import Callable

import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from softprompt.backbones.backbone import with_fused_activation
from softprompt.config import Architecture

CLASSES: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
    "bert": (BertConfig, BertForMaskedLM),
    "roberta": (RobertaConfig, RobertaForMaskedLM),
    "albert": (AlbertConfig, AlbertForMaskedLM),
    "distilbert": (DistilBertConfig, DistilBertForMaskedLM),
    "electra": (ElectraConfig, ElectraForMaskedLM),
    "gpt2": (GPT2Config, GPT2LMHeadModel),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM),
    "t5": (T5Config, T5ForConditionalGeneration),
}


def build_model(architecture: Architecture, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """A model with weights drawn from the seed. Dropout is zero: so small a model has nothing to spare."""
    config_class, model_class = CLASSES[architecture.type]
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = with_fused_activation(config_class(**common, **SIZES[architecture.type](architecture)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config)


def bert_sizes(a: Architecture) -> dict[str, object]:
    return {
        "hidden_size": a.hidden_size,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.feed_forward_size,
        "max_position_embeddings": a.positions,
        "initializer_range": a.initial_deviation,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def roberta_sizes(a: Architecture) -> dict[str, object]:
    """RoBERTa numbers positions from its padding id + 1, so the table is longer by that."""
    return bert_sizes(a) | {"max_position_embeddings": a.positions + 2, "type_vocab_size": 1}


def albert_sizes(a: Architecture) -> dict[str, object]:
    return bert_sizes(a) | {"embedding_size": a.hidden_size, "classifier_dropout_prob": 0.0}


def distilbert_sizes(a: Architecture) -> dict[str, object]:
    return {
        "dim": a.hidden_size,
        "n_layers": a.layers,
        "n_heads": a.heads,
        "hidden_dim": a.feed_forward_size,
        "max_position_embeddings": a.positions,
        "initializer_range": a.initial_deviation,
        "dropout": 0.0,
        "attention_dropout": 0.0,
    }


def electra_sizes(a: Architecture) -> dict[str, object]:
    return bert_sizes(a) | {"embedding_size": a.hidden_size}


def gpt2_sizes(a: Architecture) -> dict[str, object]:
    return {
        "n_embd": a.hidden_size,
        "n_layer": a.layers,
        "n_head": a.heads,
        "n_inner": a.feed_forward_size,
        "n_positions": a.positions,
        "initializer_range": a.initial_deviation,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    }


def llama_sizes(a: Architecture) -> dict[str, object]:
    return {
        "hidden_size": a.hidden_size,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.heads,
        "intermediate_size": a.feed_forward_size,
        "max_position_embeddings": a.positions,
        "initializer_range": a.initial_deviation,
        "tie_word_embeddings": True,
    }


def gpt_neox_sizes(a: Architecture) -> dict[str, object]:
    """As Pythia: rotary positions on a quarter of each head, attention and feed-forward side by side."""
    return {
        "hidden_size": a.hidden_size,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "intermediate_size": a.feed_forward_size,
        "max_position_embeddings": a.positions,
        "initializer_range": a.initial_deviation,
        "tie_word_embeddings": True,
    }


def t5_sizes(a: Architecture) -> dict[str, object]:
    """As many layers in the decoder as in the encoder; T5 scales its initial weights by itself."""
    return {
        "d_model": a.hidden_size,
        "num_layers": a.layers,
        "num_heads": a.heads,
        "d_kv": a.hidden_size // a.heads,
        "d_ff": a.feed_forward_size,
        "dropout_rate": 0.0,
        "decoder_start_token_id": 0,
    }


SIZES: dict[str, Callable[[Architecture], dict[str, object]]] = {
    "bert": bert_sizes,
    "roberta": roberta_sizes,
    "albert": albert_sizes,
    "distilbert": distilbert_sizes,
    "electra": electra_sizes,
    "gpt2": gpt2_sizes,
    "llama": llama_sizes,
    "gpt_neox": gpt_neox_sizes,
    "t5": t5_sizes,
}
