"""The architectures that can be pretrained here, all in one table, and tiny models of them with fresh weights.

A new one is an entry in ARCHITECTURES: a model type of transformers' Auto classes. Backbones that are only loaded need
none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from softprompt.backbones.forward import with_fused_activation
from softprompt.config import Architecture, Kind

if TYPE_CHECKING:  # importing models takes seconds, which reading the table need not wait for
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SENTINELS = tuple(f"<extra_id_{i}>" for i in range(16))


@dataclass(frozen=True)
class Tokenization:
    """How the tokenizers of a family of architectures cut texts, and the special tokens they know."""

    algorithm: Literal["wordpiece", "byte_pairs"]
    specials: dict[str, str]  # by transformers' names
    before: str | None  # in front of a text
    after: str | None
    sentinels: tuple[str, ...] = ()  # that stand for missing words


BERT = Tokenization(
    "wordpiece",
    {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    before="[CLS]",
    after="[SEP]",
)
ROBERTA = Tokenization(
    "byte_pairs",
    {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
    before="<s>",
    after="</s>",
)
GPT2 = Tokenization(
    "byte_pairs",
    {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"},
    before=None,
    after=None,
)
T5 = Tokenization(
    "byte_pairs",
    {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    before=None,
    after="</s>",
    sentinels=SENTINELS,
)


def bert_fields(a: Architecture) -> dict[str, object]:
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


def roberta_fields(a: Architecture) -> dict[str, object]:
    """RoBERTa numbers positions from its padding id + 1, so the table is longer by that."""
    return bert_fields(a) | {"max_position_embeddings": a.positions + 2, "type_vocab_size": 1}


def albert_fields(a: Architecture) -> dict[str, object]:
    return bert_fields(a) | {"embedding_size": a.hidden_size, "classifier_dropout_prob": 0.0}


def distilbert_fields(a: Architecture) -> dict[str, object]:
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


def electra_fields(a: Architecture) -> dict[str, object]:
    return bert_fields(a) | {"embedding_size": a.hidden_size}


def gpt2_fields(a: Architecture) -> dict[str, object]:
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


def llama_fields(a: Architecture) -> dict[str, object]:
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


def gpt_neox_fields(a: Architecture) -> dict[str, object]:
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


def t5_fields(a: Architecture) -> dict[str, object]:
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


@dataclass(frozen=True)
class Pretrainable:
    """What it takes to pretrain an architecture; `fields` gives its configuration's fields from our sizes."""

    kind: Kind
    tokenization: Tokenization
    fields: Callable[[Architecture], dict[str, object]]


ARCHITECTURES = {
    "bert": Pretrainable("masked", BERT, bert_fields),
    "roberta": Pretrainable("masked", ROBERTA, roberta_fields),
    "albert": Pretrainable("masked", BERT, albert_fields),
    "distilbert": Pretrainable("masked", BERT, distilbert_fields),
    "electra": Pretrainable("masked", BERT, electra_fields),
    "gpt2": Pretrainable("causal", GPT2, gpt2_fields),
    "llama": Pretrainable("causal", GPT2, llama_fields),
    "gpt_neox": Pretrainable("causal", GPT2, gpt_neox_fields),
    "t5": Pretrainable("seq2seq", T5, t5_fields),
}


def build_model(architecture: Architecture, tokenizer: "PreTrainedTokenizerBase", seed: int) -> "PreTrainedModel":
    """A model with weights drawn from the seed. Dropout is zero: so small a model has nothing to spare."""
    import torch
    import transformers as library

    entry = ARCHITECTURES[architecture.type]
    classes = {
        "masked": library.MODEL_FOR_MASKED_LM_MAPPING,
        "causal": library.MODEL_FOR_CAUSAL_LM_MAPPING,
        "seq2seq": library.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    }
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config_class = library.CONFIG_MAPPING[architecture.type]
    config = with_fused_activation(config_class(**common, **entry.fields(architecture)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return classes[entry.kind][config_class](config)
