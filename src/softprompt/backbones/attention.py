"""Prefixes: keys and values that every attention of a model sees before its rows' own.

They are joined where transformers lets attention be replaced by name (AttentionInterface, AttentionMaskInterface): no
architecture has code here, and a model that is given no prefix runs as it always does. That a row's positions go on
from its prefix is seen to where the row is encoded (Backbone.encode).
Attentions are counted in the order of a pass, not named by layer: ALBERT's layers share one module, and T5 attends in
its encoder, its decoder and from one to the other.

Axes: R rows, T tokens that attend, S tokens that are attended to, F members, P prefix length, A attentions of a pass,
N heads of keys and values, C size of a head, H = N x C.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "softprompt_prefixes"  # among transformers' attention implementations
WORKING = ("albert", "bert", "distilbert", "electra", "gpt2", "gpt_neox", "llama", "roberta", "t5")  # those tested


@dataclass(frozen=True)
class Attentions:
    """How often a pass attends, and the heads that its keys and values have there (grouped queries have fewer)."""

    count: int  # A
    heads: int  # N
    head_size: int  # C

    @property
    def size(self) -> int:
        """Numbers in one key, or one value, over all heads (H)."""
        return self.heads * self.head_size


@dataclass(frozen=True)
class RowPrefixes:
    """The prefixes of all members, and whose each row has. Shorter ones are padded; nobody attends to the padding."""

    vectors: Float[Tensor, "F P A 2 H"]  # keys, then values
    lengths: Int[Tensor, "F"]
    member: Int[Tensor, "R"]


class _Joiner:
    """Puts prefixes in front of the keys, the values and the mask of one pass."""

    def __init__(self, prefixes: RowPrefixes) -> None:
        self.member = prefixes.member
        keys, values = prefixes.vectors.unbind(3)
        self.keys, self.values = keys.unbind(2), values.unbind(2)  # (F, P, H) for each attention
        place = torch.arange(prefixes.vectors.shape[1], device=prefixes.lengths.device)
        self.present = (place < prefixes.lengths[:, None])[self.member]  # (R, P)

    def states(
        self, attention: int, key: Float[Tensor, "R N S C"], value: Float[Tensor, "R N S C"]
    ) -> tuple[Float[Tensor, "R N P+S C"], Float[Tensor, "R N P+S C"]]:
        """Keys and values of the n-th attention of the pass, behind the prefix's."""
        return self._behind(self.keys[attention], key), self._behind(self.values[attention], value)

    def mask(self, own: Bool[Tensor, "R 1 T S"]) -> Bool[Tensor, "R 1 T P+S"]:
        """Every token sees the whole prefix, causal or not."""
        return torch.cat([self.present[:, None, None].expand(-1, -1, own.shape[2], -1), own], dim=-1)

    def _behind(self, prefixes: Float[Tensor, "F P H"], states: Float[Tensor, "R N S C"]) -> Float[Tensor, "R N P+S C"]:
        rows = prefixes[self.member]  # (R, P, H)
        by_head = rows.view(*rows.shape[:2], states.shape[1], -1).transpose(1, 2)  # (R, N, P, C)
        return torch.cat([by_head.to(states.dtype), states], dim=2)


@dataclass
class _Pass:
    """A pass under way: (heads, head size, whether a mask was given) of each attention so far, and what to join."""

    joiner: _Joiner | None
    seen: list[tuple[int, int, bool]] = field(default_factory=list)


_PASS: ContextVar[_Pass] = ContextVar("pass")


@contextmanager
def joined(model: "PreTrainedModel", prefixes: RowPrefixes | None) -> Iterator[None]:
    """Within it, each attention of one pass through the model sees the prefixes too; without any, nothing changes."""
    if prefixes is None:
        yield
        return
    with _through_interface(model, _Pass(_Joiner(prefixes))):
        yield


@contextmanager
def recorded(model: "PreTrainedModel") -> Iterator[list[tuple[int, int, bool]]]:
    """A list that one pass through the model fills; it stays empty where attention goes past the interface."""
    under_way = _Pass(None)
    with _through_interface(model, under_way):
        yield under_way.seen


def attentions_of(seen: list[tuple[int, int, bool]]) -> Attentions | None:
    """What `recorded` saw, where prefixes of one shape can be joined to all of it."""
    if len(set(seen)) != 1:
        return None
    heads, head_size, masked = seen[0]
    return Attentions(len(seen), heads, head_size) if masked else None


@contextmanager
def _through_interface(model: "PreTrainedModel", under_way: _Pass) -> Iterator[None]:
    _register()
    before = model.config._attn_implementation
    token = _PASS.set(under_way)
    try:
        model.set_attn_implementation(NAME)
        yield
    finally:
        model.set_attn_implementation(before)
        _PASS.reset(token)


@cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface  # a slow import that few runs need

    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(**arguments: Any) -> Bool[Tensor, "R 1 T P+S"]:
    """The model's own mask, always spelt out, behind the prefix's columns."""
    from transformers.masking_utils import sdpa_mask

    own = sdpa_mask(**arguments | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False})
    joiner = _PASS.get().joiner
    return own if joiner is None else joiner.mask(own)


def _attend(
    module: nn.Module,
    query: Float[Tensor, "R Q T C"],
    key: Float[Tensor, "R N S C"],
    value: Float[Tensor, "R N S C"],
    attention_mask: Tensor | None,
    *,
    position_bias: Float[Tensor, "_ Q T S"] | None = None,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """PyTorch's fused attention over prefix and row. T5's position bias is 0 for a prefix, which has no position."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    under_way = _PASS.get()
    if under_way.joiner is not None:
        key, value = under_way.joiner.states(len(under_way.seen), key, value)
    under_way.seen.append((key.shape[1], key.shape[3], attention_mask is not None))
    if position_bias is not None:
        missing = key.shape[2] - position_bias.shape[3]
        arguments["position_bias"] = nn.functional.pad(position_bias, (missing, 0))
    return sdpa_attention_forward(module, query, key, value, attention_mask, **arguments)
