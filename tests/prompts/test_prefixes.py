"""Prefixes in every attention, against attention written out by hand, PEFT, and the closed forms of the papers."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import PrefixTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)
from transformers.cache_utils import DynamicCache

from helpers.backbones import BACKBONE_TYPES, tiny_backbone
from softprompt.backbones.attention import WORKING, Attentions, RowPrefixes
from softprompt.backbones.backbone import Backbone
from softprompt.config import Recipe
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.batches import Batch, Pool
from softprompt.inputs.encoding import ORDINARY
from softprompt.methods import build_method
from softprompt.methods.base import fresh_trainable
from softprompt.prompts.prefix import FleetPrefixes, Prefix
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.trainable import gather, restored
from softprompt.tasks.load import load_task
from softprompt.training.fleet import Fleet

SIZES = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 32}
SECTION = {"recipe": Recipe(optimizer="adamw"), "learning_rate": 1e-3}
REFERENCE = "written_out"


def of_another_model(prepared: Path, model_class: type, config: object) -> Backbone:
    """A causal float64 backbone around a model that the suite does not pretrain itself."""
    gpt2 = tiny_backbone("gpt2", prepared)
    torch.manual_seed(2)
    model = model_class(config).double().eval()
    model.requires_grad_(False)
    return Backbone("other", "causal", model, gpt2.tokenizer, "test", has_lm_head=True)


def grouped_queries(prepared: Path) -> Backbone:
    """A Llama with four heads of queries and two of keys and values."""
    return of_another_model(prepared, LlamaForCausalLM, LlamaConfig(vocab_size=500, num_key_value_heads=2, **SIZES))


def neox(prepared: Path) -> Backbone:
    return of_another_model(prepared, GPTNeoXForCausalLM, GPTNeoXConfig(vocab_size=500, **SIZES))


@pytest.fixture(scope="module", params=[*BACKBONE_TYPES, grouped_queries, neox])
def any_backbone(request: pytest.FixtureRequest, prepared: Path) -> Backbone:
    return tiny_backbone(request.param, prepared) if request.param in BACKBONE_TYPES else request.param(prepared)


def prefixes_of(backbone: Backbone, lengths: list[int]) -> list[Tensor]:
    attentions = backbone.attentions
    assert attentions is not None
    generator = torch.Generator().manual_seed(3)
    return [
        torch.randn(p, attentions.count, 2, attentions.size, generator=generator, dtype=torch.double) for p in lengths
    ]


def row_prefixes(prefixes: list[Tensor], ids: Tensor, member: Tensor) -> RowPrefixes:
    """The prefixes of a fleet, as rows of these tokens get them."""
    rows, right = torch.arange(len(ids)), torch.ones(len(ids), dtype=torch.bool)
    ordinary = torch.full_like(ids, ORDINARY)
    mask, one = torch.ones_like(ids), ids[:, :1]
    batch = Batch(ids, ordinary, mask, one, one, right, member, rows, 0 * rows, rows, (rows, 0 * rows))
    return FleetPrefixes(side_by_side(prefixes), [len(prefix) for prefix in prefixes]).prefixes(batch)


def hidden(backbone: Backbone, ids: Tensor, lengths: Tensor, prefixes: RowPrefixes | None = None) -> Tensor:
    """Where the answer of each row is read, here at its last token."""
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    read_at = (lengths - 1)[:, None]
    return backbone.encode(backbone.embed(ids), mask, read_at, torch.full_like(read_at, 7), prefixes)


def states_from(backbone: Backbone, ids: Tensor, shift: int) -> Tensor:
    """The states (1, T, H) of one unpadded row whose first token stands at `shift`."""
    first = 2 if backbone.model.config.model_type == "roberta" else 0  # its padding index + 1
    positions = torch.tensor([[first + shift + token for token in range(ids.shape[1])]])
    return backbone.model.base_model(input_ids=ids, position_ids=positions).last_hidden_state


def written_out(prefix: Tensor):  # type: ignore[no-untyped-def]
    """Attention of one unpadded row over its prefix and itself, query by query, as a formula has it."""
    place = count()

    def attend(module, query, key, value, mask, scaling=None, position_bias=None, **_):  # type: ignore[no-untyped-def]
        assert mask is None
        own_key, own_value = prefix[:, next(place)].unflatten(-1, key.shape[1::2]).unbind(1)  # (P, N, C)
        out = torch.zeros_like(query)
        for head in range(query.shape[1]):
            group = head * key.shape[1] // query.shape[1]
            for token in range(query.shape[2]):
                seen = token + 1 if module.is_causal else key.shape[2]
                keys = torch.cat([own_key[:, group], key[0, group, :seen]])
                values = torch.cat([own_value[:, group], value[0, group, :seen]])
                scores = keys @ query[0, head, token] * scaling
                if position_bias is not None:
                    scores[len(prefix) :] += position_bias[0, head, token, :seen]
                out[0, head, token] = torch.softmax(scores, dim=0) @ values
        return out.transpose(1, 2), None

    return attend


def test_every_attention_equals_its_formula_whatever_the_company(any_backbone: Backbone) -> None:
    prefixes = prefixes_of(any_backbone, [3, 1])
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(5, 300, (4, 9), generator=generator)
    lengths, member = torch.tensor([9, 4, 6, 9]), torch.tensor([0, 0, 1, 1])
    together = hidden(any_backbone, ids, lengths, row_prefixes(prefixes, ids, member))
    model = any_backbone.model
    before = model.config._attn_implementation
    for row in range(len(ids)):
        AttentionInterface.register(REFERENCE, written_out(prefixes[member[row]]))
        model.set_attn_implementation(REFERENCE)
        own = ids[row : row + 1, : lengths[row]]
        if any_backbone.numbers_positions:
            alone = states_from(any_backbone, own, len(prefixes[member[row]]))[:, -1]
        else:
            alone = hidden(any_backbone, own, lengths[row : row + 1])[0]
        model.set_attn_implementation(before)
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-10)
    assert any_backbone.numbers_positions == (any_backbone.kind != "seq2seq")


@pytest.mark.parametrize("make", ["gpt2", "llama", "gpt_neox", grouped_queries, neox])
@torch.no_grad()
def test_a_pass_equals_the_librarys_with_the_prefix_as_past_keys(make: object, prepared: Path) -> None:
    backbone = tiny_backbone(make, prepared) if isinstance(make, str) else make(prepared)  # type: ignore[operator]
    prefixes, attentions = prefixes_of(backbone, [4, 1]), backbone.attentions
    assert attentions is not None
    ids = torch.randint(5, 300, (4, 7), generator=torch.Generator().manual_seed(6))
    lengths, member = torch.tensor([7, 3, 5, 7]), torch.tensor([0, 1, 1, 0])
    together = hidden(backbone, ids, lengths, row_prefixes(prefixes, ids, member))
    for row in range(len(ids)):
        by_layer = prefixes[member[row]].unflatten(3, (attentions.heads, attentions.head_size)).permute(1, 2, 3, 0, 4)
        cache = DynamicCache([(keys[None], values[None]) for keys, values in by_layer])  # (1, N, P, C) each
        own = ids[row : row + 1, : lengths[row]]
        expected = backbone.model.base_model(input_ids=own, past_key_values=cache).last_hidden_state[:, -1]
        torch.testing.assert_close(together[row], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "gpt2", "llama"])
@torch.no_grad()
def test_rows_that_fill_all_positions_are_padded_beside_longer_ones(model_type: str, prepared: Path) -> None:
    backbone = tiny_backbone(model_type, prepared, positions=16)
    prefixes = prefixes_of(backbone, [9, 1])
    ids = torch.randint(5, 300, (2, backbone.room_behind(1)), generator=torch.Generator().manual_seed(7))
    lengths, member = torch.tensor([backbone.room_behind(9), backbone.room_behind(1)]), torch.tensor([0, 1])
    assert lengths.tolist() == [7, 15]
    together = hidden(backbone, ids, lengths, row_prefixes(prefixes, ids, member))
    alone = hidden(backbone, ids[:1, :7], lengths[:1], row_prefixes(prefixes, ids[:1, :7], member[:1]))
    torch.testing.assert_close(together[0], alone[0], rtol=0, atol=1e-10)
    too_long = ids[1:].repeat(1, 2)[:, :16]
    if model_type != "llama":  # whose angles go on
        with pytest.raises((IndexError, RuntimeError), match="out of"):
            hidden(backbone, too_long, torch.tensor([16]), row_prefixes(prefixes, too_long, member[1:]))


@pytest.mark.parametrize(("model_type", "expected"), [("bert", 28), ("t5", 40)])
def test_a_prefix_leaves_rows_fewer_positions_where_those_are_numbered(
    model_type: str, expected: int, prepared: Path
) -> None:
    backbone = tiny_backbone(model_type, prepared, positions=40)
    task, method = load_task("superglue", "boolq", prepared), build_method("prefix_tuning", SECTION)
    data = load_task_data(prepared / "superglue", task, backbone, 40, head=False)
    (template,) = method.templates(task, backbone.kind)[:1]
    lengths = data.split("train", template, 12).encoded.lengths
    assert int(lengths.max()) == expected
    assert int(data.split("train", template, 1).encoded.lengths.max()) == min(40, backbone.room_behind(1))
    assert fresh_trainable(method, task, backbone, 12, "member").positions == 12


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "bert"])
def test_a_pass_equals_pefts_prefix_tuning(model_type: str, prepared: Path) -> None:
    backbone = tiny_backbone(model_type, prepared)
    length, tokens = 4, 7
    (prefix,) = prefixes_of(backbone, [length])
    ids = torch.randint(5, 300, (2, tokens), generator=torch.Generator().manual_seed(5))
    of_first = row_prefixes([prefix], ids, torch.zeros(2, dtype=torch.long))
    ours = hidden(backbone, ids, torch.full((2,), tokens), of_first)
    model = tiny_backbone(model_type, prepared).model.base_model
    config = PrefixTuningConfig(task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=length)
    theirs = get_peft_model(model, config).double()
    theirs.prompt_encoder["default"].embedding.weight.data = prefix.flatten(1)
    output = theirs(input_ids=ids, attention_mask=torch.ones_like(ids))
    torch.testing.assert_close(ours[:, 0], output.last_hidden_state[:, -1], rtol=0, atol=1e-10)


def test_attentions_are_counted_in_a_pass(any_backbone: Backbone) -> None:
    config = any_backbone.model.config
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    count = 6 if any_backbone.kind == "seq2seq" else 2  # of two layers; T5's decoder attends twice
    assert any_backbone.attentions == Attentions(count, heads, config.hidden_size // config.num_attention_heads)
    assert config.model_type in WORKING


def test_a_prefix_leaves_no_trace_and_a_zero_prefix_is_not_none(any_backbone: Backbone) -> None:
    ids, lengths = torch.arange(5, 17).view(2, 6), torch.tensor([6, 5])
    before = any_backbone.model.config._attn_implementation
    plain = hidden(any_backbone, ids, lengths)
    zero = row_prefixes([0 * prefixes_of(any_backbone, [2])[0]], ids, torch.zeros(2, dtype=torch.long))
    with_zero = hidden(any_backbone, ids, lengths, zero)
    assert (with_zero - plain).abs().amax() > 1e-6  # zero keys draw attention too
    assert any_backbone.model.config._attn_implementation == before
    assert torch.equal(hidden(any_backbone, ids, lengths), plain)


def test_a_failed_pass_leaves_the_model_as_it_was(bert: Backbone) -> None:
    before = bert.model.config._attn_implementation
    ids = torch.ones(1, 4, dtype=torch.long)
    too_few = RowPrefixes(torch.zeros(1, 2, 1, 2, 16).double(), torch.tensor([2]), torch.tensor([0]))
    with pytest.raises(IndexError):
        hidden(bert, ids, torch.tensor([4]), too_few)
    assert bert.model.config._attn_implementation == before


@pytest.mark.parametrize("name", ["prefix_tuning", "p_tuning_v2"])
def test_a_backbone_with_an_attention_of_its_own_is_refused_with_those_that_work(name: str, prepared: Path) -> None:
    config = GPTNeoConfig(vocab_size=500, hidden_size=16, num_layers=2, num_heads=4, attention_types=[[["global"], 2]])
    apart = of_another_model(prepared, GPTNeoForCausalLM, config)
    reason = build_method(name, SECTION).inapplicable(load_task("lama", "P19", prepared), apart)
    assert reason.startswith("other (gpt_neo) does not attend through transformers' attention interface")
    assert reason.endswith(", ".join(WORKING))


@pytest.mark.parametrize(
    ("attentions", "hidden_size", "length", "numbers"),
    [
        (Attentions(24, 16, 64), 1024, 20, 983_040),  # BERT-large, P-tuning v2
        (Attentions(6, 12, 64), 768, 10, 92_160),  # DistilBERT: twice the 46,080 of one vector a layer
        (Attentions(12, 12, 64), 768, 20, 370_178 - (768 * 2 + 2)),  # BERT-base, PEFT's count without its head
    ],
)
def test_direct_prefixes_have_two_vectors_a_position_and_layer(
    attentions: Attentions, hidden_size: int, length: int, numbers: int
) -> None:
    prefix = prefix_for(attentions, hidden_size, length, reparametrised=False)
    assert sum(p.numel() for p in prefix.parameters()) == numbers == 2 * length * attentions.count * hidden_size
    assert prefix().shape == (length, attentions.count, 2, hidden_size)


def test_a_reparametrised_prefix_trains_a_network_and_gives_what_it_makes() -> None:
    prefix = prefix_for(Attentions(3, 2, 8), 24, 5, reparametrised=True)
    made = 2 * 3 * 2 * 8
    assert sum(p.numel() for p in prefix.parameters()) == 5 * 24 + 24 * 512 + 512 + 512 * made + made
    assert isinstance(prefix.mlp, nn.Sequential)
    by_hand = prefix.mlp[2](torch.tanh(prefix.mlp[0](prefix.embedding)))
    assert torch.equal(prefix().flatten(1), by_hand)


def prefix_for(attentions: Attentions, hidden_size: int, length: int, *, reparametrised: bool) -> Prefix:
    backbone = SimpleNamespace(attentions=attentions, hidden_size=hidden_size, model=SimpleNamespace(dtype=torch.float))
    generator = torch.Generator().manual_seed(0)
    return Prefix.drawn(length, backbone, generator, reparametrised=reparametrised)  # type: ignore[arg-type]


def test_a_head_answers_where_a_task_has_labels_and_words_elsewhere(bert: Backbone, prepared: Path) -> None:
    rte, fact = load_task("superglue", "rte", prepared), load_task("lama", "P19", prepared)
    v2, prefix = build_method("p_tuning_v2", SECTION), build_method("prefix_tuning", SECTION)
    assert (v2.uses_head(rte), v2.uses_head(fact), prefix.uses_head(rte)) == (True, False, False)
    saved = fresh_trainable(v2, rte, bert, 3, "member").saved()
    assert {name: tuple(tensor.shape) for name, tensor in saved.items()} == {
        "head.weight": (2, 16),
        "head.bias": (2,),
        "prefix.vectors": (3, 2, 2, 16),
    }
    by_words = build_method("p_tuning_v2", {**SECTION, "answer": "verbalizer"})
    assert set(fresh_trainable(by_words, rte, bert, 3, "member").saved()) == {"prefix.vectors"}


@pytest.mark.parametrize("name", ["prefix_tuning", "p_tuning_v2"])
def test_with_heads_too_a_fleet_equals_its_members_and_what_is_saved_answers_alike(
    name: str, bert: Backbone, prepared: Path
) -> None:
    task = load_task("superglue", "rte", prepared)
    method = build_method(name, {**SECTION, "answer": "head"})
    data = load_task_data(prepared / "superglue", task, bert, 64, head=True)
    (template,) = method.templates(task, "masked")
    split = data.split("train", template, 0)
    trainables = [fresh_trainable(method, task, bert, length, f"member-{length}").double() for length in (1, 4)]
    fleet = Fleet(bert, [data.label_space.outputs] * 2)
    with torch.no_grad():
        parts = gather([restored(trainable.saved(), bert, 0).double() for trainable in trainables])
    batch = Pool([split, split], bert.device).batch(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 3]))
    together = fleet.read(batch, parts).logits
    for index, trainable in enumerate(trainables):
        own = Fleet(bert, [data.label_space.outputs])
        rows = Pool([split], bert.device).batch(torch.tensor([0, 0]), torch.tensor([0, 1]) + 2 * index)
        alone = own.read(rows, gather([trainable])).logits
        torch.testing.assert_close(together[2 * index : 2 * index + 2], alone, rtol=0, atol=1e-10)
    assert not torch.equal(together[0], together[2])
