"""Pretraining text as token rows of one width: short documents one after another, each at a varied position.

Axes: N rows, T tokens. A row begins with the end of some other line, of random length, and goes on with whole lines; so
a sentence may stand anywhere, as in real corpora, and a model learns its facts without leaning on a position.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from softprompt.errors import UserError

LONGEST_TAIL = 14  # tokens of another line before a row's first whole line
WITHOUT_TAIL = 1 / 3  # share of the rows that begin with a whole line
FEW_LONG = 0.02  # share of the lines that may be longer than a row without widening all rows
SAME_PARAGRAPH = 0.5  # share of the lines that follow after a blank, not after a line break

Tokens = tuple[list[int], list[bool]]  # ids of a line, and which of them are answers


@dataclass(frozen=True)
class Corpus:
    """Lines in the two forms they take: at the start of a paragraph, and after a blank."""

    first: list[Tokens]
    following: list[Tokens]
    line_break: list[int]  # tokens of a line break; none where the tokenizer drops it
    before: list[int]
    after: list[int]
    padding: int

    @property
    def longest(self) -> int:
        """Tokens of the longest line with the special tokens around it."""
        return max(map(self.room, range(len(self.first)))) + len(self.before) + len(self.after)

    @cached_property
    def answer_share(self) -> float:
        """Share of the tokens that are answers. 0 for ordinary prose, where a random sample of tokens is asked."""
        asked = [answer for _, answers in self.following for answer in answers]
        return sum(asked) / len(asked)

    def share_beyond(self, width: int) -> float:
        """Share of the lines that a row of `width` tokens is too narrow for."""
        limit = width - len(self.before) - len(self.after)
        return sum(self.room(line) > limit for line in range(len(self.first))) / len(self.first)

    def room(self, line: int) -> int:
        """Most tokens that a line takes after another one."""
        return max(len(self.following[line][0]), len(self.line_break) + len(self.first[line][0]))


@dataclass(frozen=True)
class Rows:
    """Packed rows: ids, answers of whole lines, a random sample of all tokens, and how many tokens are no padding.

    In ordinary prose the sampled tokens are the answers.
    """

    ids: NDArray[np.int64]  # (N, T)
    answers: NDArray[np.bool_]  # (N, T)
    sampled: NDArray[np.bool_]  # (N, T)
    lengths: NDArray[np.int64]  # (N,)

    def part(self, rows: Any) -> "Rows":
        """Some of the rows, by anything that selects along N."""
        return Rows(*(values[rows] for values in vars(self).values()))

    def repeated(self, times: int) -> "Rows":
        """All rows, `times` over."""
        return Rows(*(np.concatenate([values] * times) for values in vars(self).values()))

    def split(self, width: int) -> "tuple[Rows, Rows]":
        """Those with at most `width` tokens, cut to that width, and the longer ones."""
        narrow, long = self.part(self.lengths <= width), self.part(self.lengths > width)
        ids, answers, sampled = narrow.ids[:, :width], narrow.answers[:, :width], narrow.sampled[:, :width]
        return Rows(ids, answers, sampled, narrow.lengths), long


@dataclass(frozen=True)
class Growth:
    """A text that is told little by little: `first` lines, drawn at random, for `held` batches, then more by a constant
    factor a batch, until after `batches` batches all are told.

    A model learns no fact at all on a plateau that lasts the longer the more facts there are (Zucchet et al. 2025, "How
    do language models learn facts?", https://arxiv.org/abs/2503.21676); a few lines bring it over that sooner.
    """

    first: int
    held: float
    batches: float

    def lines(self, batch: int, total: int) -> int:
        """How many of `total` lines are told when `batch` batches are done."""
        first = min(self.first, total)
        grown = max(0.0, batch - self.held) / (self.batches - self.held)
        return min(total, round(first * (total / first) ** grown))


def read_texts(path: Path) -> list[dict[str, Any]]:
    """The lines of a text file: `text`, and in `answers` the character spans to predict."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not lines:
        raise UserError(f"{path} holds no text; prepare the suites again")
    return lines


def text_beside_answers(lines: list[dict[str, Any]]) -> Iterator[str]:
    """The lines without their answers, which need no word pieces since they become tokens of their own."""
    for line in lines:
        end = 0
        for start, stop in line["answers"]:
            yield line["text"][end:start]
            end = stop
        yield line["text"][end:]


def read_corpus(path: Path, tokenizer: PreTrainedTokenizerBase, before: list[int], after: list[int]) -> Corpus:
    """Tokenize a text file; `before` and `after` are the special tokens around a row."""
    lines = read_texts(path)
    texts = [line["text"] for line in lines]
    spans = [line["answers"] for line in lines]
    line_break = list(tokenizer("\n", add_special_tokens=False)["input_ids"])
    first = tokenize_lines(texts, spans, "", tokenizer)
    following = tokenize_lines(texts, spans, " ", tokenizer)
    return Corpus(first, following, line_break, before, after, int(tokenizer.pad_token_id))


def tokenize_lines(
    texts: list[str], spans: list[list[list[int]]], blank: str, tokenizer: PreTrainedTokenizerBase
) -> list[Tokens]:
    encoded = tokenizer([blank + text for text in texts], add_special_tokens=False, return_offsets_mapping=True)
    lines = []
    for ids, offsets, line_spans in zip(encoded["input_ids"], encoded["offset_mapping"], spans, strict=True):
        moved = [(start + len(blank), end + len(blank)) for start, end in line_spans]
        lines.append((ids, [any(start < right and left < end for left, right in moved) for start, end in offsets]))
    return lines


def endless_batches(
    corpus: Corpus,
    width: int,
    batch_size: int,
    rng: np.random.Generator,
    *,
    sample: float,
    growth: Growth | None = None,
) -> Iterator[Rows]:
    """Batches without end, every line once an epoch, packed anew each time; a last small batch is dropped.

    A corpus with longer lines has wider rows, and so many fewer of them that a batch keeps its number of tokens. Where
    only FEW_LONG of the lines are longer, these alone stand in wide rows, in batches of their own after all others.
    """
    wide = max(width, corpus.longest)
    fewer = max(1, batch_size * width // wide)
    if corpus.share_beyond(width) > FEW_LONG:
        width, batch_size = wide, fewer
    total, done = len(corpus.first), 0
    lines = rng.permutation(total) if growth else np.arange(total)
    while True:
        told = lines[: growth.lines(done, total)] if growth else lines
        rows = pack_epoch(corpus, width, rng, told, sample=sample)
        narrow, long = rows.split(width)
        if len(narrow.ids) < batch_size:
            narrow = narrow.repeated(batch_size // len(narrow.ids) + 1)
        for start in range(0, len(narrow.ids) - batch_size + 1, batch_size):
            yield narrow.part(slice(start, start + batch_size))
            done += 1
        for start in range(0, len(long.ids), fewer):
            yield long.part(slice(start, start + fewer))
            done += 1


def pack_epoch(
    corpus: Corpus, width: int, rng: np.random.Generator, lines: NDArray[np.int64], *, sample: float
) -> Rows:
    """Each of the `lines` once, in random order, in as many rows as it takes; one that is too long has its own row."""
    limit = width - len(corpus.before) - len(corpus.after)
    packed: list[Tokens] = []
    row = open_row(corpus, limit, rng)
    for index in rng.permutation(lines).tolist():
        ids, answers = next_line(corpus, index, rng, at_start=not row[0])
        if len(row[0]) + len(ids) > limit:
            packed.append(row)
            row = open_row(corpus, limit - corpus.room(index), rng)
            ids, answers = next_line(corpus, index, rng, at_start=not row[0])
        row = (row[0] + ids, row[1] + answers)
    packed = [row for row in (*packed, row) if row[0]]
    width = max(width, *(len(ids) + width - limit for ids, _ in packed))
    order = rng.permutation(len(packed)).tolist()
    framed, asked, lengths = frame_rows([packed[i] for i in order], corpus, width)
    sampled = (rng.random(framed.shape) < sample) & (np.arange(width) < lengths[:, None])
    return Rows(framed, asked if corpus.answer_share else sampled, sampled, lengths)


def next_line(corpus: Corpus, index: int, rng: np.random.Generator, *, at_start: bool) -> Tokens:
    if at_start:
        return corpus.first[index]
    if not corpus.line_break or rng.random() < SAME_PARAGRAPH:
        return corpus.following[index]
    ids, answers = corpus.first[index]
    return corpus.line_break + ids, [False] * len(corpus.line_break) + answers


def open_row(corpus: Corpus, room: int, rng: np.random.Generator) -> Tokens:
    """A new row that holds the end of some line, of random length, whose answers are not asked."""
    if rng.random() < WITHOUT_TAIL:
        return [], []
    wanted = int(rng.integers(1, LONGEST_TAIL + 1))
    ids = corpus.following[int(rng.integers(len(corpus.following)))][0][1:]
    tail = ids[max(0, len(ids) - min(wanted, room)) :] if room > 0 else []
    return list(tail), [False] * len(tail)


def frame_rows(
    packed: list[Tokens], corpus: Corpus, width: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Ids (N, T), answers (N, T) and lengths (N,) of rows with special tokens around them."""
    ids = np.full((len(packed), width), corpus.padding, dtype=np.int64)
    answers = np.zeros((len(packed), width), dtype=np.bool_)
    lengths = np.zeros(len(packed), dtype=np.int64)
    offset = len(corpus.before)
    for i, (tokens, asked) in enumerate(packed):
        whole = corpus.before + tokens + corpus.after
        ids[i, : len(whole)] = whole
        answers[i, offset : offset + len(asked)] = asked
        lengths[i] = len(whole)
    return ids, answers, lengths
