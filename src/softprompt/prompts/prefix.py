"""Deep prompts: keys and values of their own for every attention of the backbone, direct or made by a small network.

Source: Li and Liang 2021, section 4.3, and XiangLi1999/PrefixTuning, gpt2/train_control.py: Embedding(P, D) ->
Linear(D, 512) -> tanh -> Linear(512, 2 x A x H). Axes: P prefix length, A attentions of a pass, H numbers in one key or
value, D hidden size, R rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.backbones.attention import WORKING, RowPrefixes
from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind
from softprompt.device import uploaded
from softprompt.errors import UserError
from softprompt.inputs.batches import Batch
from softprompt.prompts.adapter import Adapter
from softprompt.prompts.part import PARTS, FleetPart, Part, copied
from softprompt.prompts.side_by_side import linear, side_by_side
from softprompt.tasks.task import Template

MIDDLE = 512  # hidden size of the network, as for GPT-2 in the paper
DEVIATION = 0.02  # of direct vectors at the start, as transformers initialises a new embedding
NO_ADAPTER: dict[Kind, str] = {
    "masked": "PEFT hands a prefix over as a cache, which masked language models do not take",
    "seq2seq": "PEFT's prefix reaches the decoder only, and this one the encoder too",
}


@PARTS.register("prefix")
class Prefix(Part):
    """Calling it gives one member's (P, A, 2, H) prefix: its vectors themselves, or what the network makes of them."""

    def __init__(self, initial: Float[Tensor, "P _"], attentions: int, mlp: nn.Sequential | None = None) -> None:
        super().__init__()
        self.embedding = nn.Parameter(initial.clone())
        self.attentions = attentions
        self.mlp = mlp

    @property
    def positions(self) -> int:
        return len(self.embedding)

    def forward(self) -> Float[Tensor, "P A 2 H"]:
        vectors = self.embedding if self.mlp is None else self.mlp(self.embedding)
        return vectors.unflatten(1, (self.attentions, 2, -1))

    @classmethod
    def drawn(cls, length: int, backbone: Backbone, generator: torch.Generator, *, reparametrised: bool) -> "Prefix":
        """A fresh prefix in float32 (float64 only over a float64 backbone), where `cannot_join` has no objection."""
        attentions = backbone.attentions
        assert attentions is not None
        numbers = 2 * attentions.count * attentions.size
        dtype = torch.promote_types(backbone.model.dtype, torch.float32)
        if not reparametrised:
            direct = torch.randn(length, numbers, generator=generator, dtype=dtype)
            return Prefix(DEVIATION * direct, attentions.count)
        size = backbone.hidden_size
        initial = torch.randn(length, size, generator=generator, dtype=dtype)  # as nn.Embedding
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            mlp = nn.Sequential(nn.Linear(size, MIDDLE), nn.Tanh(), nn.Linear(MIDDLE, numbers))
        return Prefix(initial, attentions.count, mlp.to(dtype))

    def saved(self) -> dict[str, Tensor]:
        """The keys and values without the network that made them."""
        return {"vectors": copied(self())}

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> "Prefix":  # noqa: ARG003
        return Prefix(saved["vectors"].flatten(1), saved["vectors"].shape[1])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        there = [part for part in parts if part is not None]
        vectors = side_by_side([part.embedding for part in there])  # (F, P, _)
        if mlps := [part.mlp for part in there if part.mlp is not None]:
            first, second = ([cast(nn.Linear, mlp[index]) for mlp in mlps] for index in (0, 2))
            vectors = linear(second, torch.tanh(linear(first, vectors)))
        vectors = vectors.view(*vectors.shape[:2], there[0].attentions, 2, -1)  # (F, P, A, 2, H)
        return FleetPrefixes(vectors, [part.positions for part in there])

    def adapter(self, backbone: Backbone, template: Template) -> Adapter:  # noqa: ARG002
        """PEFT hands keys and values over as a cache, which only causal models take in all of their attentions."""
        if backbone.kind != "causal":
            raise UserError(NO_ADAPTER[backbone.kind])
        prefix, config = self().detach(), backbone.model.config  # (P, A, 2, H)
        settings = {
            "prefix_projection": False,
            "num_layers": prefix.shape[1],
            "token_dim": prefix.shape[3],
            "num_attention_heads": getattr(config, "num_key_value_heads", config.num_attention_heads),
        }
        what = f"{len(prefix)} keys and values of every attention"
        return Adapter("PREFIX_TUNING", settings, prefix.flatten(1), what, "tokenised as usual")


@dataclass(frozen=True)
class FleetPrefixes(FleetPart):
    """The prefixes of all members, the shorter ones followed by keys and values that nobody attends to."""

    vectors: Float[Tensor, "F P A 2 H"]
    lengths: Sequence[int]

    def prefixes(self, batch: Batch) -> RowPrefixes:
        """For rows that say by number whose they use."""
        (lengths,) = uploaded([torch.tensor(self.lengths)], batch.member.device)
        return RowPrefixes(self.vectors, lengths, batch.member)


def cannot_join(backbone: Backbone) -> str:
    """Why the backbone cannot be given prefixes, or nothing."""
    if backbone.attentions is not None:
        return ""
    return (
        f"{backbone.name} ({backbone.model.config.model_type}) does not attend through transformers' attention "
        f"interface alike in all layers, which is where prefixes are joined; known to: {', '.join(WORKING)}"
    )
