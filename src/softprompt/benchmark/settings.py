"""What is trained: backbones of known shapes with fresh weights, on which speed does not depend, and random rows.

Axes: N rows, T tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.forward import with_fused_activation
from softprompt.config import Kind

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from transformers import PreTrainedModel

Shape = Literal["gpt2", "bert"]
MethodName = Literal["prompt_tuning", "prefix_tuning", "p_tuning"]
Axis = Literal["members", "tasks", "trials"]

KINDS: dict[Shape, Kind] = {"gpt2": "causal", "bert": "masked"}
VOCABULARY: dict[Shape, int] = {"gpt2": 50257, "bert": 30522}  # in full, as published
MASK = 103  # of BERT's vocabulary
FIRST_WORD = 1000  # what stands before it in BERT's vocabulary are special tokens and single letters
ROWS, BATCH = 256, 8
TOKENS, PROMPT = 13, 6  # of a row and of a prompt, as in many LAMA relations


@dataclass(frozen=True)
class Size:
    """`member_steps` are timed in one go on a CPU, enough to tell times apart."""

    name: str
    layers: int
    hidden_size: int
    heads: int
    member_steps: int


MINI = Size("mini", 4, 256, 4, 16)  # BERT-mini's
BASE = Size("base", 12, 768, 12, 1)  # BERT-base's and the smallest GPT-2's


@dataclass(frozen=True)
class Lane:
    """How long the rows and the prompt of a member are."""

    tokens: int = TOKENS
    prompt: int = PROMPT


@dataclass(frozen=True)
class Setting:
    """One comparison. Members take the lanes in turn. Along `tasks` each has rows of its own, else all of a lane have
    the same."""

    shape: Shape
    size: Size
    method: MethodName
    widths: tuple[int, ...]
    axis: Axis = "members"
    lanes: tuple[Lane, ...] = (Lane(),)


@dataclass(frozen=True)
class Texts:
    """Random rows with their answer in them, at `place`: the last token, or amid the others where it is masked."""

    shape: Shape
    ids: Int[Tensor, "N T"]

    @classmethod
    def drawn(cls, shape: Shape, tokens: int, seed: int, rows: int = ROWS) -> "Texts":
        generator = torch.Generator().manual_seed(seed)
        return cls(shape, torch.randint(FIRST_WORD, VOCABULARY[shape], (rows, tokens), generator=generator))

    @property
    def place(self) -> int:
        tokens = self.ids.shape[1]
        return tokens - 1 if self.shape == "gpt2" else tokens // 2

    @property
    def answers(self) -> Int[Tensor, "N"]:
        return self.ids[:, self.place]

    def masked(self) -> Int[Tensor, "N T"]:
        """The rows of a masked backbone as it reads them."""
        ids = self.ids.clone()
        ids[:, self.place] = MASK
        return ids


def fresh_model(shape: Shape, size: Size, device: torch.device, *, fused: bool) -> "PreTrainedModel":
    """A frozen language model; `fused` as `load_backbone` has it. Nothing drops out, on either side."""
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    if shape == "gpt2":
        sizes = {"n_layer": size.layers, "n_embd": size.hidden_size, "n_head": size.heads}
        config = GPT2Config(**sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        model = GPT2LMHeadModel(with_fused_activation(config) if fused else config)
    else:
        sizes = {"num_hidden_layers": size.layers, "hidden_size": size.hidden_size, "num_attention_heads": size.heads}
        rates = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = BertForMaskedLM(BertConfig(**sizes, **rates, intermediate_size=4 * size.hidden_size))
    model.requires_grad_(False)
    return model.to(device).eval()


def as_backbone(shape: Shape, model: "PreTrainedModel") -> Backbone:
    """Without a tokenizer: rows are drawn as numbers."""
    return Backbone("bench", KINDS[shape], model, None, "bench", has_lm_head=True)
