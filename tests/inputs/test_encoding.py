"""Templates turned into rows: blanks, slots, places to read, shortening."""

import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.trainers import UnigramTrainer
from transformers import PreTrainedTokenizerFast

from softprompt.backbones.backbone import Backbone
from softprompt.errors import UserError
from softprompt.inputs.encoding import block_lengths, encode_texts
from softprompt.inputs.shortening import shorten
from softprompt.tasks.task import Template


def encode(backbone: Backbone, text: str, examples: dict[str, list[str]], prompt_length: int = 0, limit: int = 128):  # type: ignore[no-untyped-def]
    template = Template(id="t", text=text, source="test")
    return encode_texts(backbone, template, pd.DataFrame(examples), prompt_length, limit)


def test_a_row_is_the_running_text_as_the_tokenizer_writes_it(backbone: Backbone) -> None:
    text = "Veldan was born in {mask}."
    encoded = encode(backbone, text.replace("Veldan", "{subject}"), {"subject": ["Veldan"]})
    if backbone.kind == "causal":
        expected = backbone.tokenizer("Veldan was born in")["input_ids"]
        assert int(encoded.read_at[0]) == len(expected) - 1
    else:
        blank = backbone.tokenizer.mask_token if backbone.kind == "masked" else "<extra_id_0>"
        # A byte-level vocabulary has the blank inside the word that the mask stands for.
        glued = text if backbone.tokenizer.sep_token == "[SEP]" else text.replace(" {mask}", "{mask}")
        expected = backbone.tokenizer(glued.replace("{mask}", blank))["input_ids"]
        assert backbone.tokenizer.convert_ids_to_tokens(int(encoded.ids[0, encoded.read_at[0]])) == blank
    assert encoded.ids[0].tolist() == expected


@pytest.mark.parametrize("scheme", ["always", "first"])
def test_a_word_piece_never_depends_on_where_the_template_puts_a_field(bert: Backbone, scheme: str) -> None:
    sentences = ["it was wet (and cold) in May? yes .", "Question: is it wet? Answer: no"] * 20
    sentencepiece = Tokenizer(Unigram())
    sentencepiece.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)  # as T5's and Llama's
    special = ["<pad>", "<unk>", "<extra_id_0>"]
    trainer = UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    sentencepiece.train_from_iterator(sentences, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=sentencepiece, pad_token="<pad>", unk_token="<unk>")
    backbone = Backbone("t5", "seq2seq", bert.model, tokenizer, "test", has_lm_head=True)
    fields = {"premise": ["it was wet"], "claim": ["is it cold"]}
    encoded = encode(backbone, "{premise} ({claim})? Answer: {mask}", fields)
    assert encoded.ids[0].tolist() == tokenizer("it was wet (is it cold)? Answer:<extra_id_0>")["input_ids"]


def test_a_head_reads_the_true_first_token_never_a_prompt_vector(bert: Backbone) -> None:
    encoded = encode(bert, "{prompt} {premise} {sep} {claim}", {"premise": ["a b"], "claim": ["c"]}, prompt_length=3)
    assert int(encoded.read_at[0]) == 0
    assert int(encoded.ids[0, 0]) == bert.tokenizer.cls_token_id
    assert encoded.slots[0].tolist()[:5] == [-1, 0, 1, 2, -1]


def test_slots_follow_the_template_and_the_read_place_moves_with_them(bert: Backbone) -> None:
    encoded = encode(bert, "{prompt} {subject} {prompt} {mask} {prompt}", {"subject": ["was"]}, prompt_length=5)
    assert encoded.slots[0].tolist() == [-1, 0, 1, -1, 2, 3, -1, 4, -1]
    assert int(encoded.read_at[0]) == 6


@given(limit=st.integers(20, 40))
def test_rows_are_shortened_at_their_longest_field_and_keep_everything_else(bert: Backbone, limit: int) -> None:
    examples = {"passage": ["was the " * 30], "question": ["is it red"]}
    text = "{passage} Question: {question}? {prompt} Answer: {mask}."
    full = encode(bert, text, examples, prompt_length=2)
    short = encode(bert, text, examples, prompt_length=2, limit=limit)
    assert int(short.lengths[0]) == min(limit, int(full.lengths[0]))
    assert int(short.ids[0, short.read_at[0]]) == bert.tokenizer.mask_token_id
    lost = int(full.lengths[0] - short.lengths[0])
    whole, shortened = full.ids[0].tolist(), short.ids[0].tolist()
    assert any(whole[:cut] + whole[cut + lost :] == shortened for cut in range(len(shortened) + 1))


def cut_one_by_one(parts: list[list[int]], shortenable: list[bool], limit: int) -> list[list[int]]:
    """What shortening means: tokens fall from the end of what is longest, of equals the first, until all parts fit."""
    left = [list(part) for part in parts]
    while sum(map(len, left)) > limit:
        longest = max((index for index, may in enumerate(shortenable) if may), key=lambda index: len(left[index]))
        left[longest].pop()
    return left


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=6), st.integers(-3, 60))
def test_fields_are_cut_at_once_as_they_would_be_token_by_token(sizes: list[tuple[int, bool]], limit: int) -> None:
    parts, shortenable = [list(range(size)) for size, _ in sizes], [may for _, may in sizes]
    fixed = sum(size for size, may in sizes if not may)
    if fixed > limit and sum(map(len, parts)) > limit:
        with pytest.raises(UserError, match=f"leave no room for the input: {limit} tokens are free"):
            shorten(parts, shortenable, limit)
        return
    expected = cut_one_by_one(parts, shortenable, limit)
    shorten(parts, shortenable, limit)
    assert parts == expected


def test_a_very_long_row_is_cut_in_no_time() -> None:
    parts = [list(range(300_000)), list(range(200_000))]
    started = time.process_time()
    shorten(parts, [True, True], 101)
    assert time.process_time() - started < 2.0  # one by one it takes minutes
    assert parts == [list(range(50)), list(range(51))]


def test_no_room_for_the_input_is_an_error_that_says_what_to_change(bert: Backbone) -> None:
    with pytest.raises(UserError, match="shorter prompt_length or a larger max_tokens"):
        encode(bert, "{prompt} {subject} {mask}", {"subject": ["was"]}, prompt_length=20, limit=10)


@given(st.integers(0, 60), st.integers(1, 5))
def test_blocks_add_up_to_the_prompt(length: int, blocks: int) -> None:
    lengths = block_lengths(length, blocks)
    assert sum(lengths) == length
    assert max(lengths) - min(lengths) <= 1
