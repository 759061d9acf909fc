"""Pools of prompts: every row draws vectors of its own from its member's pool, all members' rows in one pass.

What is drawn depends on the row's question alone (prompts/questions.py).
Axes: R rows, T tokens, F members, M prompts of a pool, L vectors of each of them, P vectors of the longest prompt that
a row has, D word-embedding size, H hidden size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.backbones.backbone import NO_BLANK, Backbone
from softprompt.device import uploaded
from softprompt.inputs.batches import Batch
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.questions import asked_at, mean_embedding, question_tokens
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import in_slots, random_prompt, vocabulary_scale


@PARTS.register("pool")
class PromptPool(Part):
    """M prompts of L vectors and what chooses among them: a query map (attention) or keys (the nearest prompts).

    `length` is the number of vectors that a row takes.
    """

    def __init__(
        self,
        entries: Float[Tensor, "M L D"],
        length: int,
        *,
        query: nn.Linear | None = None,
        keys: Float[Tensor, "M H"] | None = None,
        matching_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.entries = nn.Parameter(entries.clone())
        self.length = length
        self.query = query
        self.keys = nn.Parameter(keys.clone()) if keys is not None else None
        self.matching_weight = matching_weight

    @classmethod
    def drawn_with_query(
        cls, size: int, length: int, embeddings: Float[Tensor, "V D"], generator: torch.Generator
    ) -> Self:
        """A fresh pool whose query map starts as nn.Linear does and its vectors at the scale of words."""
        width = embeddings.shape[1]
        entries = random_prompt(size * length, embeddings, vocabulary_scale(embeddings), generator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            query = nn.Linear(width, width)
        pool = cls(entries.view(size, length, width), length, query=query)
        return pool.to(torch.promote_types(embeddings.dtype, torch.float32))

    @classmethod
    def drawn_with_keys(
        cls,
        size: int,
        vectors_each: int,
        length: int,
        backbone: Backbone,
        generator: torch.Generator,
        *,
        matching_weight: float,
    ) -> Self:
        """A fresh pool with normal keys (only their directions count) and vectors at the scale of words."""
        embeddings = backbone.word_embeddings()
        entries = random_prompt(size * vectors_each, embeddings, vocabulary_scale(embeddings), generator)
        keys = torch.randn(size, backbone.hidden_size, generator=generator)
        pool = cls(entries.view(size, vectors_each, -1), length, keys=keys, matching_weight=matching_weight)
        return pool.to(torch.promote_types(embeddings.dtype, torch.float32))

    @property
    def positions(self) -> int:
        return self.length

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        """All of it: each row has to choose again when it is answered."""
        if "keys" in saved:
            return cls(saved["entries"], positions, keys=saved["keys"])
        weight = saved["query.weight"]
        query = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
        query.load_state_dict({"weight": weight, "bias": saved["query.bias"]})
        return cls(saved["entries"], positions, query=query)

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        return FleetPools([part for part in parts if part is not None])

    def word_like_vectors(self) -> dict[str, Float[Tensor, "D"]]:
        entries = self.entries.detach()
        return {f"{m}.{n}": vector for m, prompt in enumerate(entries) for n, vector in enumerate(prompt)}


@dataclass(frozen=True)
class Drawn:
    """What a batch drew: its vectors, how much of it came from each prompt (1 in all), and what that adds to the
    training loss of every example."""

    prompts: Float[Tensor, "R P D"]
    shares: Float[Tensor, "R M"]
    matching: Float[Tensor, "E"] | None


@dataclass(frozen=True)
class FleetPools(FleetPart):
    """The pools of all members."""

    pools: Sequence[PromptPool]

    @property
    def further_passes(self) -> int:
        """One for the query, where keys are matched with what the backbone says by itself."""
        return int(self.pools[0].keys is not None)

    def inserted(
        self, embeddings: Float[Tensor, "R T D"], backbone: Backbone, batch: Batch
    ) -> tuple[Float[Tensor, "R T D"], Float[Tensor, "E"] | None]:
        """Each row's own vectors in its slots, and what drawing them adds to the loss."""
        drawn = draw(self.pools, backbone, batch)
        rows = torch.arange(len(drawn.prompts), device=drawn.prompts.device)[:, None]
        return in_slots(drawn.prompts[rows, batch.slots.clamp(min=0)], embeddings, batch), drawn.matching


def draw(pools: Sequence[PromptPool], backbone: Backbone, batch: Batch) -> Drawn:
    """Every row's vectors from its member's pool, with the graph that leads back to what was drawn from."""
    if pools[0].keys is not None:
        with torch.no_grad():
            query = unprompted_state(backbone, batch)
        with torch.autocast(backbone.device.type, enabled=False):  # rounded cosines would tie
            return _nearest(pools, query, batch)
    with torch.autocast(backbone.device.type, enabled=False):
        return _mixed(pools, mean_embedding(backbone, batch), batch)


def unprompted_state(backbone: Backbone, batch: Batch) -> Float[Tensor, "R H"]:
    """The hidden state from which the backbone alone, given the question without any prompt, would answer: at the mask
    (masked), at the last token (causal), at the decoder's sentinel or start (seq2seq); of a sentence to be tagged that
    at its first token (masked) or its last one (causal)."""
    own = question_tokens(backbone, batch)
    lengths = own.sum(dim=1, keepdim=True)
    width = int(lengths.max())
    order = torch.argsort(own.long(), dim=1, descending=True, stable=True)[:, :width]  # own tokens, in their order
    mask = (torch.arange(width, device=own.device) < lengths).long()
    first = asked_at(backbone, batch)
    read_at = (own.cumsum(dim=1).gather(1, first.clamp(min=0)) - 1).where(first != NO_BLANK, NO_BLANK)
    embeddings = backbone.embed(batch.ids.gather(1, order))
    return backbone.encode(embeddings, mask, read_at, batch.target[:, :1])[:, 0]


def _mixed(pools: Sequence[PromptPool], inputs: Float[Tensor, "R D"], batch: Batch) -> Drawn:
    """Attention: p*_j = sum_i softmax_i(q · p_ij) p_ij with q = tanh(W x + b), for each of the row's vectors j."""
    queries = [pool.query for pool in pools if pool.query is not None]
    weight, bias = side_by_side([one.weight for one in queries]), side_by_side([one.bias for one in queries])
    everyones = torch.einsum("rd,fed->rfe", inputs.to(weight.dtype), weight) + bias  # (R, F, D)
    rows = torch.arange(len(inputs), device=inputs.device)
    query = torch.tanh(everyones[rows, batch.member])  # (R, D)
    entries = side_by_side([pool.entries for pool in pools])[batch.member]  # (R, M, P, D)
    attention = torch.einsum("re,rmpe->rmp", query, entries).softmax(dim=1)
    prompts = torch.einsum("rmp,rmpd->rpd", attention, entries)
    lengths = _prompt_lengths(batch)[:, None]
    present = torch.arange(attention.shape[2], device=inputs.device) < lengths  # (R, P)
    shares = (attention * present[:, None]).sum(dim=2) / lengths
    return Drawn(prompts, shares.detach(), None)


def _nearest(pools: Sequence[PromptPool], query: Float[Tensor, "R H"], batch: Batch) -> Drawn:
    """The prompts whose keys are nearest to the query by cosine, nearest first, until the row's slots are filled."""
    keys = side_by_side([pool.keys for pool in pools if pool.keys is not None])[batch.member]  # (R, M, H)
    cosines = nn.functional.cosine_similarity(query.to(keys.dtype)[:, None], keys, dim=2)  # (R, M)
    nearest = cosines.sort(dim=1, descending=True, stable=True)
    entries = side_by_side([pool.entries for pool in pools])  # (F, M, L, D)
    length = entries.shape[2]
    lengths = _prompt_lengths(batch)
    slot = torch.arange(max(pool.length for pool in pools), device=keys.device)  # (P)
    chosen = nearest.indices[:, slot // length]  # (R, P)
    prompts = entries[batch.member[:, None], chosen, slot % length]  # (R, P, D)
    wanted = (lengths[:, None] + length - 1) // length
    taken = (torch.arange(cosines.shape[1], device=keys.device) < wanted).to(cosines.dtype)  # (R, M)
    shares = torch.zeros_like(cosines).scatter(1, nearest.indices, taken / wanted)
    (by_member,) = uploaded([torch.tensor([pool.matching_weight for pool in pools])], keys.device)
    weights = by_member[batch.member]
    return Drawn(prompts, shares.detach(), _by_example(-weights * (nearest.values * taken).sum(dim=1), batch))


def _prompt_lengths(batch: Batch) -> Int[Tensor, "R"]:
    return batch.slots.amax(dim=1) + 1


def _by_example(values: Float[Tensor, "R"], batch: Batch) -> Float[Tensor, "E"]:
    """The mean over each example's rows."""
    nothing = values.new_zeros(len(batch.first))
    counts = nothing.index_add(0, batch.example, torch.ones_like(values))
    return nothing.index_add(0, batch.example, values) / counts
