"""What a cell kept from training, in the form of PEFT's adapters (https://github.com/huggingface/peft, peft_model.py).

Prompts: PEFT puts its virtual tokens in front of the embedded input and lets positions run on from there. So whatever
stands at the beginning of every row, up to the last prompt vector, can be virtual tokens: the prompt, and before it
special tokens such as [CLS], as their embeddings. Vectors between or behind the words of an example cannot.

Prefixes: PEFT hands keys and values over as a cache, which only causal models take in all of their attentions. It moves
positions on by the prefix's length, which the caller can undo.

Axes: P prompt vectors, D word-embedding size, A attentions of a pass, H numbers in one key or value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from softprompt.config import Kind
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import Asked
from softprompt.inputs.encoding import block_lengths, encode_texts
from softprompt.tasks.task import SLOT, Template
from softprompt.usage.cells import TrainedCell


@dataclass(frozen=True)
class Adapter:
    """What PEFT needs to know: its type, settings that go with it, and the saved tensor `prompt_embeddings`.

    `what` says in words what the virtual tokens are, `how` how the text is tokenised that follows them.
    """

    peft_type: str
    settings: dict[str, Any]
    tensor: Float[Tensor, "P _"]
    what: str
    how: str


def adapter_of(chosen: TrainedCell, asked: Asked) -> Adapter:
    """Raises UserError that says why, where PEFT has no form for it."""
    if chosen.trained.backbone.model is not chosen.backbone.model:
        raise refusal(chosen, "the method asks a copy of the backbone with other weights")
    parts = frozenset(name.partition(".")[0] for name in asked.kept)
    if parts not in ADAPTERS:
        raise refusal(chosen, _why_not(parts))
    return ADAPTERS[parts](chosen, asked)


def refusal(chosen: TrainedCell, reason: str) -> UserError:
    return UserError(f"{chosen.name()} cannot be exported: {reason}; `softprompt predict` asks it")


def _why_not(parts: frozenset[str]) -> str:
    if not parts:
        return "it keeps nothing from training"
    if "model" in parts:
        return "all weights of its backbone are tuned, which makes a model and no adapter"
    if "head" in parts:
        return "its classification head reads one hidden state, which PEFT's prompt adapters do not have"
    return f"PEFT has no adapter for what it keeps ({', '.join(sorted(parts))})"


def _prompt_adapter(chosen: TrainedCell, asked: Asked) -> Adapter:
    backbone, template = chosen.backbone, asked.template
    before, _ = around_prompt(template, asked.prompt_length)
    words = [name for name in SLOT.findall(before) if name not in ("prompt", "sep")]
    if words:
        reason = f"template {template.id} ({template.text!r}) has some behind {{{words[0]}}}"
        raise refusal(chosen, f"PEFT puts prompt vectors in front of the input, and {reason}")
    nothing = pd.DataFrame({name: [""] for name in chosen.task.fields})
    encoded = encode_texts(backbone, template, nothing, asked.prompt_length, backbone.max_tokens)
    slots = encoded.slots[0].to(backbone.device)  # (T,)
    slots = slots[: int((slots == asked.prompt_length - 1).nonzero()[0]) + 1]  # (P',)
    embedded = backbone.embed(encoded.ids[:1, : len(slots)].to(backbone.device))[0]  # (P', D)
    vectors = asked.kept["prompt"][slots.clamp(min=0)].to(embedded.dtype)
    fixed = backbone.tokenizer.convert_ids_to_tokens(encoded.ids[0, : len(slots)][(slots < 0).cpu()].tolist())
    return Adapter(
        "PROMPT_TUNING",
        {"prompt_tuning_init": "RANDOM", "token_dim": backbone.embedding_size},
        torch.where((slots >= 0)[:, None], vectors, embedded),
        (f"the embeddings of `{' '.join(fixed)}` and " if fixed else "") + f"the {asked.prompt_length} prompt vectors",
        "its blank in front included, tokenised with `add_special_tokens=False`",
    )


def _prefix_adapter(chosen: TrainedCell, asked: Asked) -> Adapter:
    if chosen.backbone.kind != "causal":
        raise refusal(chosen, NO_PREFIX[chosen.backbone.kind])
    prefix = asked.kept["prefix"]  # (P, A, 2, H)
    config = chosen.backbone.model.config
    return Adapter(
        "PREFIX_TUNING",
        {
            "prefix_projection": False,
            "num_layers": prefix.shape[1],
            "token_dim": prefix.shape[3],
            "num_attention_heads": getattr(config, "num_key_value_heads", config.num_attention_heads),
        },
        prefix.flatten(1),
        f"{len(prefix)} keys and values of every attention",
        f"tokenised as usual, with `position_ids` from -{len(prefix)} on: PEFT moves them on by {len(prefix)}",
    )


NO_PREFIX: dict[Kind, str] = {
    "masked": "PEFT hands a prefix over as a cache, which masked language models do not take",
    "seq2seq": "PEFT's prefix reaches the decoder only, and this one the encoder too",
}

# What a cell keeps -> how PEFT says it.
ADAPTERS: dict[frozenset[str], Callable[[TrainedCell, Asked], Adapter]] = {
    frozenset({"prompt"}): _prompt_adapter,
    frozenset({"prefix"}): _prefix_adapter,
}


def around_prompt(template: Template, prompt_length: int) -> tuple[str, str]:
    """The template up to its last block that has any of the prompt's vectors, and the text that follows."""
    pieces = template.text.split("{prompt}")
    filled = sum(length > 0 for length in block_lengths(prompt_length, len(pieces) - 1))
    return "{prompt}".join(pieces[:filled]), re.sub(" +", " ", "".join(pieces[filled:]))
