"""Tokenizers trained on the pretraining text, in which every answer is one token where it stands after a blank."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from softprompt.backbones.architectures import ARCHITECTURES
from softprompt.errors import UserError


def train_tokenizer(
    model_type: str, texts: Iterable[str], answers: Sequence[str], vocabulary_size: int
) -> PreTrainedTokenizerBase:
    """WordPiece for BERT and its kin, else byte-level BPE; cased. Answers come on top of `vocabulary_size`."""
    style = ARCHITECTURES[model_type].tokenization
    specials = [*dict.fromkeys(style.specials.values()), *style.sentinels]
    make = wordpiece if style.algorithm == "wordpiece" else byte_pairs
    tokenizer = make(texts, answers, vocabulary_size, specials)
    frame_texts(tokenizer, style.before, style.after)
    extra = {"extra_special_tokens": list(style.sentinels)} if style.sentinels else {}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **style.specials, **extra)
    refuse_split_answers(wrapped, answers)
    return wrapped


def wordpiece(texts: Iterable[str], answers: Sequence[str], size: int, specials: list[str]) -> Tokenizer:
    """Greedy longest match takes an answer whole as soon as it is in the vocabulary.

    The trainer numbers the inner letters (`##a`) in the order of a hash table, which changes from run to run and breaks
    ties; given as special tokens, they have fixed numbers.
    """
    texts = list(texts)
    letters = sorted({*"".join(texts), *"".join(answers)} - {" ", "\n"})
    fixed = [*specials, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    prepare_wordpiece(tokenizer)
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=fixed, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary = tokenizer.get_vocab()
    for answer in answers:
        vocabulary.setdefault(answer, len(vocabulary))
    complete = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    prepare_wordpiece(complete)
    complete.add_special_tokens(specials)
    return complete


def prepare_wordpiece(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()


def byte_pairs(texts: Iterable[str], answers: Sequence[str], size: int, specials: list[str]) -> Tokenizer:
    """Merges that build the answers are appended last, so they change no other word that was one token before."""
    tokenizer = Tokenizer(models.BPE())
    prepare_byte_level(tokenizer)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    state = json.loads(tokenizer.to_str())["model"]
    vocabulary, merges = state["vocab"], [tuple(pair) for pair in state["merges"]]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for answer in answers:
        pieces = merged_pieces([*f"Ġ{answer}"], ranks)
        while len(pieces) > 1:
            pair = (pieces[-2], pieces[-1])  # from the end, because answers share their endings
            ranks[pair] = len(ranks)
            vocabulary.setdefault("".join(pair), len(vocabulary))
            pieces = merged_pieces([*pieces[:-2], "".join(pair)], ranks)
    complete = Tokenizer(models.BPE(vocab=vocabulary, merges=list(ranks)))
    prepare_byte_level(complete)
    complete.add_special_tokens(specials)
    return complete


def merged_pieces(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """BPE of one word: merge the pair of the lowest rank until none is left."""
    while True:
        known = [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]
        if not known:
            return pieces
        _, i = min(known)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]


def prepare_byte_level(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()


def frame_texts(tokenizer: Tokenizer, before: str | None, after: str | None) -> None:
    """Let the tokenizer put special tokens around a text, and between the two of a pair."""
    frame = [token for token in (before, after) if token]
    if not frame:
        return
    single = " ".join(filter(None, (before, "$A", after)))
    pair = f"{single} " + " ".join(filter(None, ("$B", after)))
    ids = [(token, tokenizer.token_to_id(token)) for token in frame]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def refuse_split_answers(tokenizer: PreTrainedTokenizerBase, answers: Sequence[str]) -> None:
    for answer in answers:
        ids = tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise UserError(f"answer {answer!r} is not one token but {len(ids)}; answers must be words of letters only")
