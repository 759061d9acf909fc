"""Prompts that a row draws for itself: against the written formula, a loop over rows, and the papers' counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Recipe
from softprompt.errors import UserError
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.batches import Batch, Pool, Split, one_row_each
from softprompt.inputs.encoding import encode_texts
from softprompt.inputs.outputs import Reading
from softprompt.inputs.task_data import TaskData
from softprompt.methods import build_method
from softprompt.prompts.pool import PromptPool, draw
from softprompt.prompts.trainable import Trainable, gather, restored
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member

SIZE, LENGTHS = 4, (1, 3)  # prompts of a pool; vectors in front of the rows of two members
EACH, KEYED_LENGTHS = 2, (5, 2)  # vectors of a keyed prompt: members take 3 prompts (one vector of the last) and 1


@pytest.fixture(scope="module")
def data(prepared: Path, backbone: Backbone) -> TaskData:
    return load_task_data(prepared / "lama", load_task("lama", "P19", prepared), backbone, 128, head=False)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def keyed_pool(length: int, backbone: Backbone, draws: torch.Generator, weight: float) -> PromptPool:
    return PromptPool.drawn_with_keys(SIZE, EACH, length, backbone, draws, matching_weight=weight)


def pools_of(backbone: Backbone, selection: str) -> list[PromptPool]:
    embeddings = 100 * backbone.word_embeddings()  # large ones, so that attention is far from even
    if selection == "attention":
        return [PromptPool.drawn_with_query(SIZE, length, embeddings, generator(length)) for length in LENGTHS]
    return [keyed_pool(length, backbone, generator(n), 1.0) for n, length in enumerate(KEYED_LENGTHS)]


def rows_of(data: TaskData, selection: str) -> Batch:
    """Five rows of two members, of different lengths, side by side."""
    template = data.task.templates("plain", data.backbone.kind)[0].with_prompt_in_front()
    splits = [data.split("train", template, n) for n in (LENGTHS if selection == "attention" else KEYED_LENGTHS)]
    return Pool(splits, data.backbone.device).batch(torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 0, 1, 2, 3]))


def own_ids(batch: Batch, row: int) -> Tensor:
    return batch.ids[row][(batch.slots[row] < 0) & (batch.attention_mask[row] == 1)]


def state_of(backbone: Backbone, embeddings: Tensor, place: int) -> Tensor:
    """The state that answers one row, from transformers directly."""
    model = backbone.model
    if backbone.kind == "seq2seq":
        start = torch.tensor([[0, backbone.tokenizer.convert_tokens_to_ids("<extra_id_0>")]])
        return model(inputs_embeds=embeddings[None], decoder_input_ids=start, output_hidden_states=True)[
            "decoder_hidden_states"
        ][-1][0, 1]
    return model.base_model(inputs_embeds=embeddings[None]).last_hidden_state[0, place]


def mixed_by_hand(pool: PromptPool, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The written formula for one row: its vectors, and the attention over the pool for each of them."""
    assert pool.query is not None
    entries = pool.entries.detach().numpy()
    query = np.tanh(pool.query.weight.detach().numpy() @ inputs + pool.query.bias.detach().numpy())
    vectors, shares = [], []
    for place in range(entries.shape[1]):
        prompts = entries[:, place]
        weights = np.exp(query @ prompts.T)
        attention = weights / weights.sum()
        vectors.append(sum(a * p for a, p in zip(attention, prompts, strict=True)))
        shares.append(attention)
    return np.array(vectors), np.array(shares)


def test_attention_follows_the_formula(backbone: Backbone, data: TaskData) -> None:
    pools, batch = pools_of(backbone, "attention"), rows_of(data, "attention")
    with torch.no_grad():
        drawn = draw(pools, backbone, batch)
    words = backbone.word_embeddings().numpy()
    for row, member in enumerate(batch.member.tolist()):
        vectors, shares = mixed_by_hand(pools[member], words[own_ids(batch, row)].mean(axis=0))
        np.testing.assert_allclose(drawn.prompts[row, : LENGTHS[member]], vectors, rtol=0, atol=1e-12)
        np.testing.assert_allclose(drawn.shares[row], shares.mean(axis=0), rtol=0, atol=1e-12)
        assert shares.max() > 0.4  # the case is not one of even attention
    assert drawn.matching is None


def chosen_by_hand(backbone: Backbone, pool: PromptPool, batch: Batch, row: int, length: int) -> tuple[Tensor, float]:
    """Prompts in order of cosine for one row without its slots, and minus the sum of the cosines of those it takes."""
    assert pool.keys is not None
    ids = own_ids(batch, row)
    before = int((batch.slots[row] >= 0).sum())  # the slots stand before the place that is read
    state = state_of(backbone, backbone.embed(ids), int(batch.read_at[row, 0]) - before)
    cosines = [float(state @ key / (state.norm() * key.norm())) for key in pool.keys]
    order = sorted(range(SIZE), key=lambda index: -cosines[index])[: -(-length // EACH)]
    return torch.cat([pool.entries[index] for index in order])[:length], -sum(cosines[index] for index in order)


def test_topk_follows_a_loop_over_rows(backbone: Backbone, data: TaskData) -> None:
    pools, batch = pools_of(backbone, "topk"), rows_of(data, "topk")
    with torch.no_grad():
        drawn = draw(pools, backbone, batch)
        assert drawn.matching is not None
        for row, member in enumerate(batch.member.tolist()):
            length = KEYED_LENGTHS[member]
            vectors, matching = chosen_by_hand(backbone, pools[member], batch, row, length)
            torch.testing.assert_close(drawn.prompts[row, :length], vectors, rtol=0, atol=0)
            assert float(drawn.matching[row]) == pytest.approx(matching, abs=1e-10)
            assert sorted(drawn.shares[row].tolist())[-3:] == pytest.approx([1 / 3] * 3 if length == 5 else [0, 0, 1])


@pytest.mark.parametrize("selection", ["attention", "topk"])
def test_the_backbone_reads_the_drawn_vectors_before_the_input(
    selection: str, backbone: Backbone, data: TaskData
) -> None:
    pools, batch = pools_of(backbone, selection), rows_of(data, selection)
    with torch.no_grad():
        parts = gather([Trainable(pool) for pool in pools])
        logits = Fleet(backbone, [data.label_space.outputs] * 2).read(batch, parts).logits
        drawn = draw(pools, backbone, batch)
        for row in range(len(batch.member)):
            embeddings = backbone.embed(batch.ids[row])[batch.attention_mask[row] == 1]
            slots = batch.slots[row][batch.attention_mask[row] == 1]
            embeddings[slots >= 0] = drawn.prompts[row, : int((slots >= 0).sum())]
            state = state_of(backbone, embeddings, int(batch.read_at[row, 0]))
            torch.testing.assert_close(logits[row], backbone.project(state[None])[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("selection", ["attention", "topk"])
def test_what_is_saved_answers_alike(selection: str, backbone: Backbone, data: TaskData) -> None:
    pools, batch = pools_of(backbone, selection), rows_of(data, selection)
    fleet = Fleet(backbone, [data.label_space.outputs] * 2)
    with torch.no_grad():
        before = fleet.read(batch, gather([Trainable(pool) for pool in pools])).logits
        again = gather([restored(Trainable(pool).saved(), backbone, pool.length) for pool in pools])
        assert torch.equal(fleet.read(batch, again).logits, before)


@pytest.mark.parametrize("selection", ["attention", "topk"])
def test_candidates_of_an_example_draw_alike(selection: str, backbone: Backbone) -> None:
    template = Template(id="t", text=" {prompt} {subject} is {mask}.", source="here")
    texts = pd.DataFrame({"subject": ["a b", "a b", "a b"], "candidate": ["a", "b c d e", "e f"]})
    length = LENGTHS[1] if selection == "attention" else KEYED_LENGTHS[0]
    encoded = encode_texts(backbone, template, texts, length, 64)
    split = Split(encoded, encoded.answer, torch.tensor([True, False, False]), torch.tensor([3]))
    batch = Pool([split], backbone.device).batch(torch.tensor([0]), torch.tensor([0]))
    pool = pools_of(backbone, selection)[1]
    with torch.no_grad():
        drawn = draw([pool], backbone, batch)
    for row in (1, 2):
        torch.testing.assert_close(drawn.prompts[row], drawn.prompts[0], rtol=0, atol=1e-12)
    if drawn.matching is not None:
        assert drawn.matching.shape == (1,)


def read_topk(backbone: Backbone, data: TaskData) -> tuple[PromptPool, Fleet, Reading]:
    pool = pools_of(backbone, "topk")[0]
    split = data.split("train", data.task.plain.with_prompt_in_front(), KEYED_LENGTHS[0])
    batch = Pool([split], backbone.device).batch(torch.zeros(5, dtype=torch.long), torch.arange(5))
    fleet = Fleet(backbone, [data.label_space.outputs])
    return pool, fleet, fleet.read(batch, gather([Trainable(pool)]))


def test_keys_learn_from_matching_alone_and_prompts_from_the_task_alone(backbone: Backbone, data: TaskData) -> None:
    pool, fleet, reading = read_topk(backbone, data)
    by_task = torch.autograd.grad(
        fleet.losses(reading).sum(), [pool.entries, pool.keys], retain_graph=True, allow_unused=True
    )
    assert by_task[0].abs().max() > 0
    assert by_task[1] is None
    by_matching = torch.autograd.grad(reading.extra.sum(), [pool.entries, pool.keys], allow_unused=True)
    assert by_matching[0] is None
    assert by_matching[1].abs().max() > 0


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_training_pulls_the_keys_towards_the_queries(weight: float, bert: Backbone, prepared: Path) -> None:
    data = load_task_data(prepared / "lama", load_task("lama", "P19", prepared), bert, 128, head=False)
    pool = keyed_pool(4, bert, generator(1), weight)
    assert pool.keys is not None
    before = pool.keys.detach().clone()
    split = data.split("train", data.task.plain.with_prompt_in_front(), 4)
    member = Member("m", data.label_space.outputs, 0.05, split, split, lambda _: 0.0, Trainable(pool))
    batch = Pool([split], bert.device).batch(torch.zeros(8, dtype=torch.long), torch.arange(8))

    def cosines() -> float:
        with torch.no_grad():
            drawn = draw([pool], bert, batch)
        return -float(drawn.matching.mean()) if weight else 0.0

    was = cosines()
    budget = Budget(trials=2, steps=10, batch_size=8, eval_every=5, patience=9)
    (outcome,) = train_fleet(FleetWork(bert, [member], budget, Recipe(optimizer="adam"), inference_tokens=600))
    assert torch.equal(before, pool.keys) == (weight == 0.0)
    assert cosines() > was or not weight
    with torch.no_grad():  # the curve shows the task's loss, comparable with other methods
        fleet = Fleet(bert, [data.label_space.outputs])
        (answered,) = fleet.predict(Pool([split], bert.device), [0], gather([restored(outcome.saved, bert, 4)]), 600)
    assert outcome.curve[-1].dev_loss == pytest.approx(float(answered.loss.mean()))
    assert outcome.curve[-1].train_loss > 0  # minus two cosines would take it lower


def test_parameter_counts_are_those_of_the_formulas() -> None:
    keyed = Trainable(PromptPool(torch.zeros(10, 20, 768), 20, keys=torch.zeros(10, 768)))
    assert keyed.trained_numbers == sum(map(Tensor.numel, keyed.saved().values())) == 161_280
    mixed = Trainable(PromptPool(torch.zeros(10, 1, 768), 1, query=nn.Linear(768, 768)))
    closed = 10 * 768 + 768 * 768 + 768
    assert mixed.trained_numbers == sum(map(Tensor.numel, mixed.saved().values())) == closed


def test_a_pool_that_cannot_fill_the_prompt_is_refused() -> None:
    section = {
        "pool_size": 3,
        "vectors_each": 2,
        "matching_weight": 1.0,
        "search": {"prompt_length": {"low": 2, "high": 7}},
        "learning_rate": 0.01,
        "recipe": {"optimizer": "adam"},
    }
    with pytest.raises(UserError, match=r"prompt_length may be 7, but .* is 6; write 6 or less"):
        build_method("prompt_pool_topk", section)


def test_rows_with_other_words_draw_other_vectors(bert: Backbone) -> None:
    texts = pd.DataFrame({"subject": ["a b", "c d"]})
    template = Template(id="t", text="{prompt} {subject} is {mask}.", source="here")
    encoded = encode_texts(bert, template, texts, 3, 64)
    batch = Pool([one_row_each(encoded, torch.zeros(2, dtype=torch.long))], bert.device).batch(
        torch.zeros(2, dtype=torch.long), torch.arange(2)
    )
    with torch.no_grad():
        drawn = draw([pools_of(bert, "attention")[1]], bert, batch)
    assert not torch.allclose(drawn.prompts[0], drawn.prompts[1])
