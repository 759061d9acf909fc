"""Texts + template + prompt length -> token rows with prompt slots. Axes: N rows, T tokens, K tokens of an answer."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import FIRST_SENTINEL, NO_BLANK, Backbone
from softprompt.config import Kind
from softprompt.inputs.shortening import shorten
from softprompt.tasks.task import CANDIDATE, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PIECES = re.compile(r"(\{\w+\})")
WITHOUT_TEXT = ("{mask}", "{prompt}", "{sep}")  # pieces that are no text
FURTHER_MASKS = "further_masks"  # a column of texts: masks behind those of the candidate, to be filled with padding
ORDINARY = -1  # the slot number of a token that is no prompt vector
WORD_BEFORE = "a"  # what a word is read behind, to see how it is written behind a blank
NO_TOKEN = -100  # fills rows of answers that are shorter than the longest


@dataclass(frozen=True)
class Encoded:
    """Rows of one text each, right-padded.

    `slots` numbers the prompt vectors from 0, `read_at` is where the answer's tokens are read, NO_BLANK if the decoder
    has none to fill. `answer` holds those tokens, padded with `NO_TOKEN`, where the answer is a candidate; else the one
    place to read is left open.
    """

    ids: Int[Tensor, "N T"]
    slots: Int[Tensor, "N T"]
    lengths: Int[Tensor, "N"]
    read_at: Int[Tensor, "N K"]
    answer: Int[Tensor, "N K"]


@dataclass
class _Row:
    """One row under construction."""

    ids: list[int]
    slots: list[int]
    read_at: int = 0  # of the answer's first token

    def extend(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.slots.extend([ORDINARY] * len(ids))


def block_lengths(prompt_length: int, blocks: int) -> list[int]:
    """A prompt of P vectors over its blocks in the template, as even as can be, earlier blocks the longer ones."""
    return [prompt_length // blocks + (1 if block < prompt_length % blocks else 0) for block in range(blocks)]


def encode_texts(
    backbone: Backbone, template: Template, texts: pd.DataFrame, prompt_length: int, max_tokens: int
) -> Encoded:
    """One row a row of `texts`, whose column `candidate`, if there is one, is put in where the template has {mask}.

    Rows over `max_tokens` lose words at the end of their longest field. A masked backbone gets as many masks as the
    candidate has tokens, a causal one the candidate's own tokens, an encoder-decoder the template's mask, if any.
    """
    pieces = _pieces(template, backbone.kind)
    blocks = block_lengths(prompt_length, pieces.count("{prompt}"))
    asks_candidate = CANDIDATE in texts and CANDIDATE not in template.slots()
    answers: list[list[int]] = [[]] * len(texts)
    if asks_candidate:
        fill, more = [_padding_id(backbone.tokenizer)], texts.get(FURTHER_MASKS, [0] * len(texts))
        asked = zip(texts[CANDIDATE], more, strict=True)
        answers = [tokenize(backbone.tokenizer, f" {text}") + count * fill for text, count in asked]
    rows = [
        _encode_row(backbone, pieces, ids, blocks, answer, max_tokens)
        for ids, answer in zip(_ids_of_pieces(backbone.tokenizer, pieces, texts), answers, strict=True)
    ]
    return _pad(rows, answers, backbone)


def single_token(backbone: Backbone, word: str) -> int | None:
    """The id of a word that is one token where an answer stands, behind a blank; or None.

    A byte-level vocabulary may hold the word without its blank alone: that piece goes on with a word. P-tuning drops
    such facts (LAMA/data_utils/vocab.py, `token_wrapper`).
    """
    ids = tokenize(backbone.tokenizer, f"{WORD_BEFORE} {word}")
    known = ids[-1] != backbone.tokenizer.unk_token_id
    return ids[-1] if known and ids[:-1] in _ids_before(backbone.tokenizer) else None


@lru_cache(maxsize=16)
def _ids_before(tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """Of the word before, and where a blank belongs to the token that it ends, of that."""
    word, with_blank = tokenize(tokenizer, WORD_BEFORE), tokenize(tokenizer, f"{WORD_BEFORE} ")
    return [word, with_blank] if len(with_blank) == len(word) else [word]


def first_token(backbone: Backbone, word: str) -> int:
    """The first token of a word where an answer stands, for label words that the vocabulary splits; not the blank
    before it, which some vocabularies write as a token of its own."""
    ids = tokenize(backbone.tokenizer, f" {word}")
    return next(i for i in ids if backbone.tokenizer.decode([i]).strip())


def tokenize(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Ids of a text without special tokens."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _pieces(template: Template, kind: Kind) -> list[str]:
    """Literals and slots in order. A blank belongs to what follows it; a causal template ends before its mask."""
    text = template.text.partition("{mask}")[0] if kind == "causal" else template.text
    pieces: list[str] = []
    blank = ""
    for piece in PIECES.split(text):
        if PIECES.fullmatch(piece):
            pieces.append(f"{blank}{piece}" if piece not in WITHOUT_TEXT else piece)
            blank = ""
            continue
        literal = blank + piece
        stripped = literal.rstrip()
        blank = " " if literal != stripped else ""
        if stripped:
            pieces.append(stripped)
    return pieces


def _ids_of_pieces(
    tokenizer: "PreTrainedTokenizerBase", pieces: list[str], texts: pd.DataFrame
) -> list[list[list[int]]]:
    """The ids of every row and piece; slots have none, but for {sep}.

    What stands between slots is tokenised as a whole, as running text is. A token belongs to the piece it begins in.
    """
    sep = [] if tokenizer.sep_token_id is None else [int(tokenizer.sep_token_id)]
    ids = [[list(sep) if piece == "{sep}" else [] for piece in pieces] for _ in range(len(texts))]
    for is_slot, run in groupby(range(len(pieces)), key=lambda number: pieces[number] in WITHOUT_TEXT):
        if is_slot or texts.empty:
            continue
        numbers = list(run)
        filled = [_filled(pieces[number], texts) for number in numbers]
        rows = list(zip(*filled, strict=True))
        found = tokenizer(["".join(row) for row in rows], add_special_tokens=False, return_offsets_mapping=True)
        for row, tokens, offsets, out in zip(rows, found["input_ids"], found["offset_mapping"], ids, strict=True):
            ends = list(accumulate(map(len, row)))
            for token, (start, _) in zip(tokens, offsets, strict=True):
                out[numbers[min(bisect_right(ends, start), len(ends) - 1)]].append(token)
    return ids


def _filled(piece: str, texts: pd.DataFrame) -> list[str]:
    """The text of a piece in every row."""
    field = PIECES.search(piece)
    if field is None:
        return [piece] * len(texts)
    return [f"{piece[: field.start()]}{text}" for text in texts[field[1][1:-1]]]


def _encode_row(
    backbone: Backbone,
    pieces: list[str],
    parts: list[list[int]],
    blocks: list[int],
    answer: list[int],
    max_tokens: int,
) -> _Row:
    tokenizer, kind = backbone.tokenizer, backbone.kind
    prefix, suffix = special_tokens(tokenizer, kind)
    masks = [_mask_id(tokenizer, kind)] * (len(answer) or 1 if kind == "masked" else 1) if "{mask}" in pieces else []
    given = answer[:-1] if kind == "causal" else []  # each of its tokens is read one place earlier
    fixed = len(prefix) + len(suffix) + sum(blocks) + len(masks) + len(given)
    is_field = [piece not in WITHOUT_TEXT and bool(PIECES.search(piece)) for piece in pieces]
    shorten(parts, is_field, max_tokens - fixed)
    row = _Row([], [], NO_BLANK if kind == "seq2seq" and not masks else 0)
    row.extend(prefix)
    waiting = iter(blocks)
    used = 0
    for piece, ids in zip(pieces, parts, strict=True):
        if piece == "{prompt}":
            length = next(waiting)
            row.ids.extend([_padding_id(tokenizer)] * length)
            row.slots.extend(range(used, used + length))
            used += length
        elif piece == "{mask}":
            row.read_at = len(row.ids)
            row.extend(masks)
        else:
            row.extend(ids)
    row.extend(suffix)
    if kind == "causal":
        row.read_at = len(row.ids) - 1
        row.extend(given)
    return row


@lru_cache(maxsize=16)
def special_tokens(tokenizer: "PreTrainedTokenizerBase", kind: Kind) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text; nothing may follow a causal text, which goes on."""
    plain = tokenize(tokenizer, "a")
    full = list(tokenizer("a")["input_ids"])
    start = next(i for i in range(len(full)) if full[i : i + len(plain)] == plain)
    suffix = full[start + len(plain) :]
    return full[:start], [] if kind == "causal" else suffix


def _padding_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    return int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0


def _mask_id(tokenizer: "PreTrainedTokenizerBase", kind: Kind) -> int:
    return int(tokenizer.convert_tokens_to_ids(FIRST_SENTINEL) if kind == "seq2seq" else tokenizer.mask_token_id)


def _pad(rows: list[_Row], answers: list[list[int]], backbone: Backbone) -> Encoded:
    lengths = torch.tensor([len(row.ids) for row in rows])
    width = int(lengths.max()) if rows else 0
    ids = torch.full((len(rows), width), _padding_id(backbone.tokenizer))
    slots = torch.full((len(rows), width), ORDINARY)
    answer = torch.full((len(rows), max([1, *map(len, answers)])), NO_TOKEN)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        slots[index, : len(row.slots)] = torch.tensor(row.slots)
        answer[index, : len(answers[index])] = torch.tensor(answers[index], dtype=torch.long)
    first = torch.tensor([row.read_at for row in rows], dtype=torch.long)[:, None]
    return Encoded(ids, slots, lengths, first + torch.arange(answer.shape[1]), answer)
