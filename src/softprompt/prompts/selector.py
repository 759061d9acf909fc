"""Prompts that depend on the row: a task's selector mixes the entries of a pool that tasks share.

Axes: R rows, T tokens, F members, N entries of a pool, P prompt vectors of an entry, D word-embedding size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.device import uploaded
from softprompt.inputs.batches import Batch
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.questions import mean_embedding
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import in_slots

DEVIATION = 0.02  # of W at the start, where every entry has nearly the same share


@PARTS.register("selector")
class Selector(Part):
    """Shares of a pool's entries: softmax(W E(x) + b). The pool may belong to several selectors at once."""

    def __init__(self, pool: nn.Parameter, weight: Float[Tensor, "N D"], bias: Float[Tensor, "N"]) -> None:
        super().__init__()
        self.pool = pool  # (N, P, D)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    @classmethod
    def drawn(cls, pool: nn.Parameter, generator: torch.Generator) -> Self:
        """A selector over a pool (N, P, D) that tasks share, with small normal weights and zero bias."""
        entries, _, size = pool.shape
        weight = torch.randn(entries, size, generator=generator, dtype=pool.dtype)
        return cls(pool, DEVIATION * weight, torch.zeros(entries, dtype=pool.dtype))

    @property
    def positions(self) -> int:
        return self.pool.shape[1]

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(nn.Parameter(saved["pool"]), saved["weight"], saved["bias"])

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetSelectors([part for part in parts if part is not None])


@dataclass(frozen=True)
class FleetSelectors(FleetPart):
    """The selectors of all members."""

    selectors: Sequence[Selector]

    def inserted(
        self, embeddings: Float[Tensor, "R T D"], backbone: Backbone, batch: Batch
    ) -> tuple[Float[Tensor, "R T D"], None]:
        """Each row's own mixture in the slots of its row. E(x) is the mean word embedding of its question."""
        with torch.autocast(backbone.device.type, enabled=False):  # prompts stay in float32
            prompts = selected_prompts(self.selectors, mean_embedding(backbone, batch), batch.member)
        rows = torch.arange(len(prompts), device=prompts.device)[:, None]
        return in_slots(prompts[rows, batch.slots.clamp(min=0)], embeddings, batch), None


def pool_shares(
    selectors: Sequence[Selector], inputs: Float[Tensor, "R D"], member: Int[Tensor, "R"]
) -> Float[Tensor, "R N"]:
    """Each row's shares of the entries under its own member's selector; they add up to 1."""
    weight = side_by_side([selector.weight for selector in selectors])[member]  # (R, N, D)
    bias = side_by_side([selector.bias for selector in selectors])[member]
    return torch.softmax(torch.einsum("rd,rnd->rn", inputs, weight) + bias, dim=1)


def selected_prompts(
    selectors: Sequence[Selector], inputs: Float[Tensor, "R D"], member: Int[Tensor, "R"]
) -> Float[Tensor, "R P D"]:
    """Each row's prompt, sum_n share_n entry_n; shorter ones are followed by vectors that no row refers to."""
    shares = pool_shares(selectors, inputs, member)
    pools = {id(selector.pool): selector.pool for selector in selectors}
    places = {pool: place for place, pool in enumerate(pools)}
    (owner,) = uploaded([torch.tensor([places[id(selector.pool)] for selector in selectors])], member.device)
    entries = side_by_side(list(pools.values()))  # of all pools (O, N, P, D)
    prompts = inputs.new_zeros(len(inputs), *entries.shape[2:])
    for place, pool in enumerate(entries.unbind()):  # one whose numbers run away leaves the others' rows alone
        rows = torch.nonzero(owner[member] == place)[:, 0]
        prompts = prompts.index_put((rows,), torch.einsum("rn,npd->rpd", shares[rows], pool).to(prompts.dtype))
    return prompts
