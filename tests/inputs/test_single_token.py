"""Words that are one token where an answer stands, and the lists of words that LAMA's answers are chosen among."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from softprompt.backbones.backbone import Backbone
from softprompt.evaluation.coverage import _counts
from softprompt.inputs.encoding import single_token
from softprompt.inputs.label_space import label_space_of
from softprompt.tasks.load import load_task

LINES = ["Rome is old", "Paris is in France", "Rome and Paris", "it is in Paris", "1984 was wet", "the 9 of May"] * 30
WORDS = sorted({word for line in LINES for word in line.split()} | {"wetter", "Par", "me", "99", "Fran"})


def like_gpt2() -> PreTrainedTokenizerFast:
    """Byte-level BPE, trained on lines which some words only begin, so that these have no token with a blank."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<|endoftext|>", eos_token="<|endoftext|>")


def like_llama() -> PreTrainedTokenizerFast:
    """SentencePiece, which writes the blank as a mark of the word behind it, or alone where it knows no such word."""
    letters = sorted(set("".join(WORDS)))
    pieces = ["\u2581a", "\u2581Paris", "\u2581is", "Rome", "\u2581", *letters]
    tokenizer = Tokenizer(Unigram([("<unk>", 0.0), *((piece, -3.0) for piece in pieces)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def with_tokenizer(backbone: Backbone, tokenizer: PreTrainedTokenizerFast) -> Backbone:
    return Backbone("other", backbone.kind, backbone.model, tokenizer, "test", has_lm_head=True)


@pytest.mark.parametrize(("make", "mark"), [(like_gpt2, "\u0120"), (like_llama, "\u2581")])
def test_a_word_is_one_token_where_the_vocabulary_has_it_with_its_blank(make, mark: str, gpt2: Backbone) -> None:  # type: ignore[no-untyped-def]
    """P-tuning's own rule: the mark of the blank and the object are an entry of the vocabulary."""
    tokenizer = make()
    backbone, entries = with_tokenizer(gpt2, tokenizer), tokenizer.get_vocab()
    found = {word: single_token(backbone, word) for word in WORDS}
    assert found == {word: entries.get(mark + word) for word in WORDS}
    assert found["Paris"] is not None
    assert None in found.values()


def test_a_piece_without_its_blank_is_no_answer(gpt2: Backbone) -> None:
    tokenizer = like_gpt2()
    assert len(tokenizer("Rome")["input_ids"]) == 1  # what stood in for the word before
    assert single_token(with_tokenizer(gpt2, tokenizer), "Rome") is None


@settings(max_examples=30)
@given(word=st.text("aeilnrst", min_size=1, max_size=6))
def test_the_token_is_the_one_that_running_text_has(word: str, backbone: Backbone) -> None:
    token, tokenizer = single_token(backbone, word), backbone.tokenizer
    running = tokenizer(f"it is {word}", add_special_tokens=False)["input_ids"]
    before = tokenizer("it is", add_special_tokens=False)["input_ids"]
    alone = running[len(before) :]
    expected = alone[0] if len(alone) == 1 and alone[0] != tokenizer.unk_token_id else None
    assert token == expected


def test_coverage_counts_such_facts_as_not_one_token(gpt2: Backbone, prepared: Path) -> None:
    backbone, task = with_tokenizer(gpt2, like_gpt2()), load_task("lama", "P19", prepared)
    space = label_space_of(task, backbone, head=False, vocabulary=[["Paris", "Rome", "old"]])
    counts = _counts(["Rome", "Rome", "Paris", "wet", "old"], space, backbone)
    assert counts == {"examples": 5, "kept": 2, "not_one_token": 2, "outside_vocabulary": 1}


def test_of_several_lists_a_backbone_gets_its_own(bert: Backbone, gpt2: Backbone, prepared: Path) -> None:
    """P-tuning's 34k: each model's own tokens, although it has words of the other lists as one token too."""
    task = load_task("lama", "P19", prepared)
    shared = sorted(task for task in bert.tokenizer.get_vocab() if f"\u0120{task}" in gpt2.tokenizer.get_vocab())
    words = [word for word in shared if single_token(bert, word) is not None and single_token(gpt2, word) is not None]
    assert len(words) >= 12
    own = next(entry for entry in bert.tokenizer.get_vocab() if entry.startswith("##"))
    lists = [[*words[:8], own], [f"\u0120{word}" for word in words[4:]]]
    for backbone, expected in ((bert, words[:8]), (gpt2, words[4:])):
        space = label_space_of(task, backbone, head=False, vocabulary=lists)
        allowed = backbone.tokenizer.convert_ids_to_tokens(space.outputs.allowed.nonzero()[:, 0].tolist())
        assert {token.removeprefix("\u0120") for token in allowed} == set(expected)


def test_a_backbone_without_a_list_of_its_own_gets_the_words_of_all(gpt2: Backbone, prepared: Path) -> None:
    backbone, task = with_tokenizer(gpt2, like_gpt2()), load_task("lama", "P19", prepared)
    lists = [["Paris", "elsewhere"], ["\u0120is", "\u0120nowhere"]]
    space = label_space_of(task, backbone, head=False, vocabulary=lists)
    assert space.outputs.allowed.nonzero()[:, 0].tolist() == sorted(
        backbone.tokenizer.convert_tokens_to_ids(["\u0120Paris", "\u0120is"])
    )
