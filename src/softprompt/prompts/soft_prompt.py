"""Soft prompts and their reparametrisations, one part a member, computed together for a fleet.

Source of the encoders: P-tuning (Liu et al. 2021, section 3.2; THUDM/P-tuning LAMA/p_tuning/prompt_encoder.py; the wide
LSTM: PT-Fewshot/pet/wrapper.py).
Axes: F members of a fleet, P prompt length, D word-embedding size, R rows, T tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.batches import Batch
from softprompt.inputs.encoding import encode_texts
from softprompt.prompts.adapter import Adapter, around_prompt
from softprompt.prompts.fleet_lstm import fleet_lstm
from softprompt.prompts.part import PARTS, FleetPart, Part, copied
from softprompt.prompts.side_by_side import linear, side_by_side
from softprompt.tasks.task import SLOT, Template

EncoderName = Literal["lstm", "mlp", "identity"]  # what a section of params.yaml may name
AnyEncoder = EncoderName | Literal["wide_lstm"]


@PARTS.register("prompt")
class SoftPrompt(Part):
    """P vectors, passed through an LSTM with MLP, an MLP, or nothing. Calling it gives one member's (P, D) prompt.

    Each direction of the LSTM has D / 2 hidden numbers, of the wide one D.
    """

    def __init__(self, initial: Float[Tensor, "P D"], encoder: AnyEncoder) -> None:
        super().__init__()
        size = initial.shape[1]
        self.embedding = nn.Parameter(initial.clone())
        hidden = {"lstm": size // 2, "wide_lstm": size}.get(encoder)
        self.lstm = nn.LSTM(size, hidden, 2, batch_first=True, bidirectional=True) if hidden else None
        states = 2 * hidden if hidden else size
        self.mlp = (
            nn.Sequential(nn.Linear(states, size), nn.ReLU(), nn.Linear(size, size)) if encoder != "identity" else None
        )

    @classmethod
    def drawn(
        cls, encoder: AnyEncoder, length: int, embeddings: Float[Tensor, "V D"], generator: torch.Generator
    ) -> "SoftPrompt":
        """A fresh prompt in float32 (float64 only over a float64 backbone).

        Behind an LSTM or MLP the vectors start as nn.Embedding does, N(0, 1); bare ones start at the scale of words.
        """
        scale = vocabulary_scale(embeddings) if encoder == "identity" else 1.0
        initial = random_prompt(length, embeddings, scale, generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            fresh = SoftPrompt(initial, encoder)
        return fresh.to(torch.promote_types(embeddings.dtype, torch.float32))

    @classmethod
    def vectors(cls, prompts: Sequence[Self]) -> Float[Tensor, "F P D"]:
        """What goes into the LSTMs or MLPs of these; subclasses may make it of several parameters."""
        return side_by_side([one.embedding for one in prompts])

    def forward(self) -> Float[Tensor, "P D"]:
        vectors = self.vectors([self])[0]
        if self.lstm is not None:
            vectors = self.lstm(vectors[None])[0][0]
        return self.mlp(vectors) if self.mlp is not None else vectors

    @property
    def positions(self) -> int:
        return len(self.embedding)

    def saved(self) -> dict[str, Tensor]:
        """The vectors without what made them."""
        with torch.backends.cudnn.flags(enabled=False):  # whose LSTM takes weights in one piece, not a fleet's rows
            return {"vectors": copied(self())}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> "SoftPrompt":  # noqa: ARG003
        return SoftPrompt(saved["vectors"], "identity")

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetPrompts(fleet_prompts([part for part in parts if part is not None]))

    def word_like_vectors(self) -> dict[str, Float[Tensor, "D"]]:
        return numbered(self().detach())

    def adapter(self, backbone: Backbone, template: Template) -> Adapter:
        return prompt_adapter(self().detach(), backbone, template)


@dataclass(frozen=True)
class FleetPrompts(FleetPart):
    """The prompts of all members, the shorter ones followed by vectors that no row refers to."""

    prompts: Float[Tensor, "F P D"]

    def inserted(
        self,
        embeddings: Float[Tensor, "R T D"],
        backbone: Backbone,  # noqa: ARG002
        batch: Batch,
    ) -> tuple[Float[Tensor, "R T D"], None]:
        """Each row's member's vectors in the slots of its row."""
        vectors = self.prompts[batch.member[:, None], batch.slots.clamp(min=0)]  # (R, T, D)
        return in_slots(vectors, embeddings, batch), None


def in_slots(
    vectors: Float[Tensor, "R T D"], embeddings: Float[Tensor, "R T D"], batch: Batch
) -> Float[Tensor, "R T D"]:
    """Vectors where a row has slots, embeddings elsewhere."""
    return torch.where((batch.slots >= 0)[..., None], vectors.to(embeddings.dtype), embeddings)


def numbered(vectors: Float[Tensor, "P D"]) -> dict[str, Float[Tensor, "D"]]:
    """Every vector by its number, from 0."""
    return {str(number): vector for number, vector in enumerate(vectors)}


def fleet_prompts(encoders: Sequence[SoftPrompt]) -> Float[Tensor, "F P D"]:
    """Every member's prompt in one pass, the shorter ones followed by vectors that no row refers to."""
    if len(encoders) == 1:
        return encoders[0]()[None]
    vectors = type(encoders[0]).vectors(encoders)
    if lstms := [encoder.lstm for encoder in encoders if encoder.lstm is not None]:
        vectors = fleet_lstm(lstms, vectors, [len(encoder.embedding) for encoder in encoders])
    if mlps := [encoder.mlp for encoder in encoders if encoder.mlp is not None]:
        first, second = ([cast(nn.Linear, mlp[index]) for mlp in mlps] for index in (0, 2))
        return linear(second, torch.relu(linear(first, vectors)))
    return vectors


def vocabulary_scale(embeddings: Float[Tensor, "V D"]) -> float:
    """Standard deviation of the word embeddings, the scale at which a random vector looks like a word."""
    return float(embeddings.std())


def random_prompt(
    length: int, embeddings: Float[Tensor, "V D"], scale: float, generator: torch.Generator
) -> Float[Tensor, "P D"]:
    """Normal vectors with the given standard deviation, drawn on the CPU so that devices agree."""
    return scale * torch.randn(length, embeddings.shape[1], generator=generator, dtype=embeddings.dtype)


def prompt_adapter(vectors: Float[Tensor, "P D"], backbone: Backbone, template: Template) -> Adapter:
    """PEFT puts its virtual tokens in front of the embedded input and lets positions run on from there. So whatever
    stands at the beginning of every row, up to the last prompt vector, can be virtual tokens: the prompt, and before it
    special tokens such as [CLS], as their embeddings. Raises UserError where vectors stand behind an example's words.
    """
    length = len(vectors)
    words = [name for name in SLOT.findall(around_prompt(template, length)[0]) if name not in ("prompt", "sep")]
    if words:
        reason = f"template {template.id} ({template.text!r}) has some behind {{{words[0]}}}"
        raise UserError(f"PEFT puts prompt vectors in front of the input, and {reason}")
    fields = [name for name in template.slots() if name not in ("prompt", "sep", "mask")]
    encoded = encode_texts(
        backbone, template, pd.DataFrame({name: [""] for name in fields}), length, backbone.max_tokens
    )
    slots = encoded.slots[0].to(backbone.device)  # (T,)
    slots = slots[: int((slots == length - 1).nonzero()[0]) + 1]  # (P',)
    embedded = backbone.embed(encoded.ids[:1, : len(slots)].to(backbone.device))[0]  # (P', D)
    fixed = backbone.tokenizer.convert_ids_to_tokens(encoded.ids[0, : len(slots)][(slots < 0).cpu()].tolist())
    return Adapter(
        "PROMPT_TUNING",
        {"prompt_tuning_init": "RANDOM", "token_dim": backbone.embedding_size},
        torch.where((slots >= 0)[:, None], vectors[slots.clamp(min=0)].to(embedded.dtype), embedded),
        (f"the embeddings of `{' '.join(fixed)}` and " if fixed else "") + f"the {length} prompt vectors",
        "its blank in front included, tokenised with `add_special_tokens=False`",
    )
