"""Rows of many members side by side: a pool to draw from, orders to draw in, batches to train on.

An example is one row, or one row a candidate or wording. Axes: R rows of a batch, T tokens, K tokens of an answer,
E examples of a batch, N examples of a member, C classes of a head.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.device import uploaded
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY, Encoded


@dataclass(frozen=True)
class Batch:
    """Rows cut to the longest of them. `member` says whose prompt and head a row uses, `example` and `candidate` which
    example of the batch it belongs to and as its n-th candidate or wording, `first` each example's first row; `gold`
    whether a row is right; `tagged` that every word of every row is read.

    What the host knows of them spares it a look at the device: `most` rows are of one example, and `read` are the row
    and column in `target` of every token that is read, row by row."""

    ids: Int[Tensor, "R T"]
    slots: Int[Tensor, "R T"]
    attention_mask: Int[Tensor, "R T"]
    read_at: Int[Tensor, "R K"]
    target: Int[Tensor, "R K"]
    gold: Bool[Tensor, "R"]
    member: Int[Tensor, "R"]
    example: Int[Tensor, "R"]
    candidate: Int[Tensor, "R"]
    first: Int[Tensor, "E"]
    read: tuple[Int[Tensor, "M"], Int[Tensor, "M"]]
    most: int = 1
    soft: Float[Tensor, "E C"] | None = None  # shares of the classes of a head, where those are to be learnt
    tagged: bool = False

    def firsts(self) -> "Batch":
        """The first row of every example that has one answer, without soft labels."""
        rows = {name: getattr(self, name)[self.first] for name in BY_ROW}
        alone = torch.arange(len(self.first), device=self.first.device)
        return Batch(**rows, first=alone, read=(alone, torch.zeros_like(alone)), tagged=self.tagged)

    def part(self, examples: slice, rows: slice) -> "Batch":
        """Examples that follow each other, and the rows that they consist of."""
        part = {name: getattr(self, name)[rows] for name in BY_ROW}
        part |= {"example": self.example[rows] - examples.start, "first": self.first[examples] - rows.start}
        soft = None if self.soft is None else self.soft[examples]
        return Batch(**part, read=places(self.target[rows]), most=self.most, soft=soft, tagged=self.tagged)


BY_ROW = ("ids", "slots", "attention_mask", "read_at", "target", "gold", "member", "example", "candidate")


def places(target: Int[Tensor, "R K"]) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
    """Row and column of every token that is read, row by row."""
    if target.shape[1] == 1:  # the common case needs no look at the values
        rows = torch.arange(len(target), device=target.device)
        return rows, torch.zeros_like(rows)
    row, place = torch.nonzero(target != NO_TOKEN, as_tuple=True)
    return row, place


@dataclass(frozen=True)
class Split:
    """A member's encoded examples. Rows of one example follow each other, `counts` says how many they are.

    `target` holds the outputs that a row's answer consists of, padded with `NO_TOKEN`; `soft`, where it is there, is
    learnt in its stead. `tagged` ones have an output for every word.
    """

    encoded: Encoded
    target: Int[Tensor, "rows K"]
    gold: Bool[Tensor, "rows"]
    counts: Int[Tensor, "N"]
    soft: Float[Tensor, "N C"] | None = None
    tagged: bool = False

    def __len__(self) -> int:
        return len(self.counts)


def one_row_each(encoded: Encoded, target: Int[Tensor, "N"]) -> Split:
    """The split of examples that are one row with one output as answer."""
    everyone = torch.ones(len(target), dtype=torch.long)
    return Split(encoded, target[:, None], everyone.bool(), everyone)


def one_row_a_wording(encoded: Sequence[Encoded], target: Int[Tensor, "N"]) -> Split:
    """The split of examples with one output as answer, each asked in all of several wordings."""
    number = torch.arange(len(target))
    rows = torch.stack([number + part * len(target) for part in range(len(encoded))], dim=1).flatten()  # N x wordings
    together = Encoded(
        ids=_stacked([part.ids for part in encoded], 0)[rows],
        slots=_stacked([part.slots for part in encoded], ORDINARY)[rows],
        lengths=torch.cat([part.lengths for part in encoded])[rows],
        read_at=torch.cat([part.read_at for part in encoded])[rows],
        answer=torch.cat([part.answer for part in encoded])[rows],
    )
    repeated = target.repeat_interleave(len(encoded))
    counts = torch.full((len(target),), len(encoded))
    return Split(together, repeated[:, None], torch.ones(len(repeated), dtype=torch.bool), counts)


class Pool:
    """The splits of several members in one set of tensors on the device; a split that members share is stored once."""

    def __init__(self, splits: Sequence[Split], device: torch.device) -> None:
        unique = list({id(split): split for split in splits}.values())
        starts = dict(zip(map(id, unique), _starts([len(split) for split in unique]), strict=True))
        encoded = [split.encoded for split in unique]
        self.sizes = [len(split) for split in splits]
        self.offsets = torch.tensor([starts[id(split)] for split in splits])
        # what sizes batches stays on the CPU
        self.counts = torch.cat([split.counts for split in unique])
        self.first_rows = torch.cumsum(self.counts, dim=0) - self.counts
        self.lengths = torch.cat([part.lengths for part in encoded])
        self._ids = _stacked([part.ids for part in encoded], 0).to(device)
        self._slots = _stacked([part.slots for part in encoded], ORDINARY).to(device)
        self._read_at = _stacked([part.read_at for part in encoded], 0).to(device)
        self._outputs = _stacked([split.target for split in unique], NO_TOKEN)
        self._target = self._outputs.to(device)
        self._gold = torch.cat([split.gold for split in unique]).to(device)
        soft = [split.soft for split in unique if split.soft is not None]
        self._soft = torch.cat(soft).to(device) if soft else None  # of all splits, or of none
        (self._tagged,) = {split.tagged for split in unique}  # of all splits, or of none
        self._device = device

    def batch(self, member: Int[Tensor, "E"], number: Int[Tensor, "E"]) -> Batch:
        """The examples `number` of the splits of `member`; both on the CPU."""
        where = self.offsets[member] + number
        counts = self.counts[where]
        example = torch.arange(len(where)).repeat_interleave(counts)  # (R,)
        candidate = torch.arange(len(example)) - (torch.cumsum(counts, dim=0) - counts)[example]
        chosen = self.first_rows[where][example] + candidate
        width, most = int(self.lengths[chosen].max()), int(counts.max())
        first = torch.cumsum(counts, dim=0) - counts
        wanted = [chosen, self.lengths[chosen], member[example], example, candidate, first, where]
        there = uploaded([*wanted, *places(self._outputs[chosen])], self._device)
        rows, lengths, owner, of_example, of_candidate, firsts, examples, row, place = there
        return Batch(
            ids=self._ids[rows, :width],
            slots=self._slots[rows, :width],
            attention_mask=(torch.arange(width, device=self._device) < lengths[:, None]).long(),
            read_at=self._read_at[rows],
            target=self._target[rows],
            gold=self._gold[rows],
            member=owner,
            example=of_example,
            candidate=of_candidate,
            first=firsts,
            read=(row, place),
            most=most,
            soft=None if self._soft is None else self._soft[examples],
            tagged=self._tagged,
        )

    def rows_of(self, member: Int[Tensor, "E"], number: Int[Tensor, "E"]) -> list[int]:
        """How many rows each of some examples has."""
        return self.counts[self.offsets[member] + number].tolist()

    @property
    def answer_width(self) -> int:
        """K, the outputs of the longest answer."""
        return self._outputs.shape[1]

    def example_lengths(self, member: Int[Tensor, "E"], number: Int[Tensor, "E"]) -> Int[Tensor, "E"]:
        """The longest row of each example."""
        where = self.offsets[member] + number
        longest = torch.zeros_like(self.counts)
        example = torch.arange(len(self.counts)).repeat_interleave(self.counts)
        return longest.scatter_reduce(0, example, self.lengths, "amax")[where]


def shuffled_rows(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Int[Tensor, "B"]]:
    """Batches of example numbers without end: one random order after the other, a batch may span two of them."""
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(n, generator=generator)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def runs(counts: Sequence[int], most_rows: int) -> Iterator[tuple[slice, slice]]:
    """Examples that follow each other, `counts` rows each, in runs of at most `most_rows` or of one example: which of
    the examples and which of the rows."""
    example = row = 0
    while example < len(counts):
        rows, last = counts[example], example + 1
        while last < len(counts) and rows + counts[last] <= most_rows:
            rows, last = rows + counts[last], last + 1
        yield slice(example, last), slice(row, row + rows)
        example, row = last, row + rows


def inference_chunks(
    pool: Pool, member: Int[Tensor, "E"], number: Int[Tensor, "E"], max_tokens: int
) -> Iterator[Int[Tensor, "C"]]:
    """Positions of (member, number) in groups of like length, each at most `max_tokens` tokens when padded."""
    lengths = pool.example_lengths(member, number)
    rows = int(pool.counts.max())
    order = torch.argsort(lengths, stable=True, descending=True)
    start = 0
    while start < len(order):
        size = max(1, max_tokens // (rows * int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def _starts(sizes: Sequence[int]) -> list[int]:
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _stacked(parts: Sequence[Int[Tensor, "_ _"]], fill: int) -> Int[Tensor, "rows W"]:
    width = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1]), value=fill) for part in parts])
