"""Rows of many members side by side: a pool to draw from, orders to draw in, batches to train on.

Axes: R rows of a batch, T tokens, N examples of a member.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.training.encoding import Encoded


@dataclass(frozen=True)
class Batch:
    """Rows cut to the longest of them. `member` says whose prompt and head a row uses."""

    ids: Int[Tensor, "R T"]
    slots: Int[Tensor, "R T"]
    attention_mask: Int[Tensor, "R T"]
    read_at: Int[Tensor, "R"]
    target: Int[Tensor, "R"]
    member: Int[Tensor, "R"]


@dataclass(frozen=True)
class Split:
    """A member's encoded examples with the ids of their answers."""

    encoded: Encoded
    target: Int[Tensor, "N"]

    def __len__(self) -> int:
        return len(self.target)


class Pool:
    """The splits of several members in one set of tensors on the device; a split that members share is stored once."""

    def __init__(self, splits: Sequence[Split], device: torch.device) -> None:
        unique = list({id(split): split for split in splits}.values())
        starts = dict(zip(map(id, unique), _starts([len(split) for split in unique]), strict=True))
        width = max(split.encoded.ids.shape[1] for split in unique)
        self.sizes = [len(split) for split in splits]
        self.offsets = torch.tensor([starts[id(split)] for split in splits])
        self.lengths = torch.cat([split.encoded.lengths for split in unique])  # stays on the CPU: it sizes batches
        self._ids = torch.cat([_widen(split.encoded.ids, width, 0) for split in unique]).to(device)
        self._slots = torch.cat([_widen(split.encoded.slots, width, -1) for split in unique]).to(device)
        self._read_at = torch.cat([split.encoded.read_at for split in unique]).to(device)
        self._target = torch.cat([split.target for split in unique]).to(device)
        self._device = device

    def batch(self, member: Int[Tensor, "R"], row: Int[Tensor, "R"]) -> Batch:
        """The rows `row` of the splits of `member`; both on the CPU."""
        where = self.offsets[member] + row
        lengths = self.lengths[where]
        width = int(lengths.max())
        on_device = where.to(self._device)
        mask = (torch.arange(width) < lengths[:, None]).long().to(self._device)
        return Batch(
            ids=self._ids[on_device, :width],
            slots=self._slots[on_device, :width],
            attention_mask=mask,
            read_at=self._read_at[on_device],
            target=self._target[on_device],
            member=member.to(self._device),
        )


def shuffled_rows(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Int[Tensor, "B"]]:
    """Batches of row numbers without end: one random order after the other, a batch may span two of them."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(n, generator=generator)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def inference_chunks(
    pool: Pool, member: Int[Tensor, "R"], row: Int[Tensor, "R"], max_tokens: int
) -> Iterator[Int[Tensor, "K"]]:
    """Positions of (member, row) in groups of like length, each at most `max_tokens` tokens when padded."""
    lengths = pool.lengths[pool.offsets[member] + row]
    order = torch.argsort(lengths, stable=True, descending=True)
    start = 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _widen(rows: Int[Tensor, "N T"], width: int, fill: int) -> Int[Tensor, "N W"]:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]), value=fill)
