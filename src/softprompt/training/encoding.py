"""Examples + template + prompt length -> token rows with prompt slots. Axes: N examples, T tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from softprompt.backbones.backbone import Backbone
from softprompt.config import Kind
from softprompt.errors import UserError
from softprompt.tasks.task import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PIECES = re.compile(r"(\{\w+\})")
SLOTS = ("{mask}", "{prompt}", "{sep}")  # pieces that are no text
ORDINARY = -1  # the slot number of a token that is no prompt vector


@dataclass(frozen=True)
class Encoded:
    """Rows of one example each, right-padded.

    `slots` numbers the prompt vectors from 0, `read_at` is where the answer is read.
    """

    ids: Int[Tensor, "N T"]
    slots: Int[Tensor, "N T"]
    lengths: Int[Tensor, "N"]
    read_at: Int[Tensor, "N"]


@dataclass
class _Row:
    """One row under construction."""

    ids: list[int]
    slots: list[int]
    read_at: int = 0

    def extend(self, ids: Sequence[int]) -> None:
        self.ids.extend(ids)
        self.slots.extend([ORDINARY] * len(ids))


def block_lengths(prompt_length: int, blocks: int) -> list[int]:
    """A prompt of P vectors over its blocks in the template, as even as can be, earlier blocks the longer ones."""
    return [prompt_length // blocks + (1 if block < prompt_length % blocks else 0) for block in range(blocks)]


def encode_examples(
    backbone: Backbone, template: Template, examples: pd.DataFrame, prompt_length: int, max_tokens: int
) -> Encoded:
    """One row an example. Rows over `max_tokens` lose words at the end of their longest field."""
    pieces = _pieces(template, backbone.kind)
    blocks = block_lengths(prompt_length, pieces.count("{prompt}"))
    columns = {name: examples[name].tolist() for name in _fields(pieces)}
    rows = []
    for index in range(len(examples)):
        fields = {name: values[index] for name, values in columns.items()}
        rows.append(_encode_row(backbone, pieces, fields, blocks, max_tokens))
    return _pad(rows, _padding_id(backbone.tokenizer))


def single_token(backbone: Backbone, word: str) -> int | None:
    """The id of a word that is one token where an answer stands, or None."""
    unknown = backbone.tokenizer.unk_token_id
    for text in (f" {word}", word):
        ids = _visible(backbone, tokenize(backbone.tokenizer, text))
        if len(ids) == 1 and ids[0] != unknown:
            return ids[0]
    return None


def first_token(backbone: Backbone, word: str) -> int:
    """The first token of a word where an answer stands, for label words that the vocabulary splits."""
    return _visible(backbone, tokenize(backbone.tokenizer, f" {word}"))[0]


def _visible(backbone: Backbone, ids: list[int]) -> list[int]:
    """Some vocabularies write the blank before a word as a token of its own; it belongs to what precedes the answer."""
    return [i for i in ids if backbone.tokenizer.decode([i]).strip()]


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
            pieces.append(f"{blank}{piece}" if piece not in SLOTS else piece)
            blank = ""
            continue
        literal = blank + piece
        stripped = literal.rstrip()
        blank = " " if literal != stripped else ""
        if stripped:
            pieces.append(stripped)
    return pieces


def _fields(pieces: list[str]) -> list[str]:
    return [match[1:-1] for piece in pieces for match in PIECES.findall(piece) if match not in SLOTS]


def _encode_row(
    backbone: Backbone, pieces: list[str], fields: dict[str, str], blocks: list[int], max_tokens: int
) -> _Row:
    tokenizer = backbone.tokenizer
    prefix, suffix = special_tokens(tokenizer, backbone.kind)
    parts = [_piece_ids(tokenizer, piece, fields) for piece in pieces]
    fixed = len(prefix) + len(suffix) + sum(blocks) + pieces.count("{mask}")
    _shorten(parts, [bool(_fields([piece])) for piece in pieces], max_tokens - fixed)
    row = _Row([], [])
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
            row.extend([_mask_id(tokenizer, backbone.kind)])
        else:
            row.extend(ids)
    row.extend(suffix)
    if backbone.kind == "causal":
        row.read_at = len(row.ids) - 1
    return row


def _piece_ids(tokenizer: "PreTrainedTokenizerBase", piece: str, fields: dict[str, str]) -> list[int]:
    if piece in ("{mask}", "{prompt}"):
        return []
    if piece == "{sep}":
        return [] if tokenizer.sep_token_id is None else [int(tokenizer.sep_token_id)]
    names = _fields([piece])
    return _cached_ids(tokenizer, piece.replace(f"{{{names[0]}}}", fields[names[0]]) if names else piece)


@lru_cache(maxsize=200_000)
def _cached_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return tokenize(tokenizer, text)


def _shorten(parts: list[list[int]], shortenable: list[bool], limit: int) -> None:
    """Cut tokens from the end of the longest field, one by one, until all parts together fit."""
    candidates = [index for index, may in enumerate(shortenable) if may]
    excess = sum(map(len, parts)) - limit
    while excess > 0:
        longest = max(candidates, key=lambda index: len(parts[index]), default=None)
        if longest is None or not parts[longest]:
            raise UserError(
                f"the prompt and the template's own text leave no room for the input: {limit} tokens are free; "
                "use a shorter prompt_length or a larger max_tokens"
            )
        parts[longest] = parts[longest][:-1]
        excess -= 1


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
    if kind == "seq2seq":
        return int(tokenizer.convert_tokens_to_ids("<extra_id_0>"))
    return int(tokenizer.mask_token_id)


def _pad(rows: list[_Row], padding_id: int) -> Encoded:
    lengths = torch.tensor([len(row.ids) for row in rows])
    width = int(lengths.max()) if rows else 0
    ids = torch.full((len(rows), width), padding_id)
    slots = torch.full((len(rows), width), ORDINARY)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        slots[index, : len(row.slots)] = torch.tensor(row.slots)
    return Encoded(ids, slots, lengths, torch.tensor([row.read_at for row in rows]))
