"""Dropout in a backbone that a fleet trains through: a row's noise is its own, whatever stands beside it.

PyTorch draws one mask for a whole batch, in which a row's share depends on its neighbours and their padding. Here
whether a number is kept is a hash of what names it: the row's stream, which dropout of the pass it is, the token, the
channel (or head and attended token). No architecture has code here: while a pass lasts, the model is in training mode
and its calls of dropout and of fused attention are answered by this module.

Axes: F members, R rows, P prefix length, N heads, T tokens that attend, S tokens that are attended to, C head size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from softprompt.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# SplitMix64 (Steele, Lea and Flood 2014), its constants as signed numbers
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64
PRECISION = 53  # bits of a hash that are compared with the rate

OTHER_NOISE = {  # what a row's stream cannot answer
    *(torch.rand, torch.rand_like, torch.randn, torch.randn_like, torch.bernoulli, torch.dropout, torch.alpha_dropout),
    *(Tensor.bernoulli, Tensor.bernoulli_, Tensor.uniform_, Tensor.normal_),
    *(functional.dropout1d, functional.dropout2d, functional.dropout3d),
    *(functional.alpha_dropout, functional.feature_alpha_dropout),
}


def stream_number(stream: Int[Tensor, "..."], number: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """The n-th number, from 0 on, of the SplitMix64 generators that start at `stream`."""
    mixed = stream + (number + 1) * GOLDEN
    mixed = (mixed ^ _shifted(mixed, 30)) * FIRST
    mixed = (mixed ^ _shifted(mixed, 27)) * SECOND
    return mixed ^ _shifted(mixed, 31)


def row_streams(streams: Int[Tensor, "F"], member: Int[Tensor, "R"]) -> Int[Tensor, "R"]:
    """A stream of its own for every row, by its place among those of its member, which follow each other."""
    counts = torch.zeros_like(streams).index_add(0, member, torch.ones_like(member))
    first = torch.cumsum(counts, dim=0) - counts
    place = torch.arange(len(member), device=member.device) - first[member]
    return stream_number(streams[member], place)


@contextmanager
def dropping_out(
    model: "PreTrainedModel", streams: Int[Tensor, "R"] | None, ahead: int = 0
) -> Iterator["RowNoise | None"]:
    """Within it, one pass through the model drops out by the streams of its rows; without any, nothing changes.

    `ahead` columns of what is attended to are a prefix, padded to the longest.
    """
    if streams is None:
        yield None
        return
    model.train()
    try:
        with RowNoise(streams, ahead) as noise:
            yield noise
    finally:
        model.eval()


class RowNoise(TorchFunctionMode):
    """Answers the calls of one pass that drop out, and counts them: `calls` came before."""

    def __init__(self, streams: Int[Tensor, "R"], ahead: int, calls: int = 0) -> None:
        super().__init__()
        self.streams = streams
        self.ahead = ahead
        self.calls = calls
        self.answers: dict[Callable[..., Any], Callable[..., Any]] = {
            functional.dropout: self.dropout,
            functional.scaled_dot_product_attention: self.attention,
        }

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in OTHER_NOISE:
            raise UserError(
                f"the backbone draws noise by {function.__name__} where it trains, which cannot be told apart by row; "
                "write backbone_dropout: false in the method's recipe"
            )
        return self.answers.get(function, function)(*args, **(kwargs or {}))

    def dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:  # noqa: ARG002
        """As torch.nn.functional.dropout, of a tensor whose first axis are the rows."""
        if not training or p == 0.0:
            return input
        return self._kept(input, p, [torch.arange(size, device=input.device) for size in input.shape[1:]])

    def attention(
        self,
        query: Float[Tensor, "R N T C"],
        key: Float[Tensor, "R _ S C"],
        value: Float[Tensor, "R _ S C"],
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        **settings: Any,
    ) -> Float[Tensor, "R N T C"]:
        """As torch.nn.functional.scaled_dot_product_attention, with dropout on its weights."""
        if dropout_p == 0.0:
            return functional.scaled_dot_product_attention(query, key, value, attn_mask, **settings)
        weights, value = _attention_weights(query, key, value, attn_mask, **settings)  # (R, N, T, S)
        head, token, column = (torch.arange(size, device=query.device) for size in weights.shape[1:])
        # a prefix is numbered backwards, so that its padding moves no token's number
        column = torch.where(column < self.ahead, -1 - column, column - self.ahead)
        return self._kept(weights, dropout_p, [head, token, column]) @ value

    def _kept(self, values: Tensor, rate: float, places: list[Int[Tensor, "_"]]) -> Tensor:
        """The values that the noise leaves, scaled to the same mean."""
        if len(values) != len(self.streams):
            raise UserError(
                f"the backbone drops out of a tensor of {len(values)} rows where its batch has {len(self.streams)}; "
                "write backbone_dropout: false in the method's recipe"
            )
        state = stream_number(self.streams, torch.tensor(self.calls))
        self.calls += 1
        for place in places:
            state = stream_number(state[..., None], place)
        return torch.where(_above(state, rate), values, 0.0) / (1.0 - rate)


def _above(hashes: Int[Tensor, "..."], rate: float) -> Bool[Tensor, "..."]:
    """Whether hashes, read as numbers from 0 to 1, reach a rate."""
    return _shifted(hashes, 64 - PRECISION) >= int(rate * 2**PRECISION)


def _shifted(numbers: Int[Tensor, "..."], bits: int) -> Int[Tensor, "..."]:
    """To the right, filled with zeros: PyTorch has signed numbers only and repeats the sign."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)


def _attention_weights(
    query: Float[Tensor, "R N T C"],
    key: Float[Tensor, "R _ S C"],
    value: Float[Tensor, "R _ S C"],
    mask: Tensor | None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Float[Tensor, "R N T S"], Float[Tensor, "R N S C"]]:
    """What fused attention weighs the values by, and the values, one a head of the queries."""
    if enable_gqa:
        key, value = (states.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for states in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1), value
