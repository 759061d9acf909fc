"""AutoPrompt's search: its arithmetic against loops and another library, its filter, its accounts of steps."""

from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.errors import UserError
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Batch, Pool, shuffled_rows
from softprompt.inputs.outputs import Predictions, Reading
from softprompt.inputs.task_data import TaskData
from softprompt.methods import build_method
from softprompt.methods.autoprompt import AutoPrompt
from softprompt.prompts.label_words import NO_WORD, LabelWords
from softprompt.prompts.soft_prompt import FleetPrompts
from softprompt.prompts.token_prompt import TokenPrompt
from softprompt.prompts.trainable import FleetParts, Trainable, gather
from softprompt.results import CurvePoint
from softprompt.seeding import torch_generator
from softprompt.training import triggers
from softprompt.training.fleet import Fleet
from softprompt.training.label_word_search import PENALTY, label_certainty, surest_words
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained
from softprompt.training.triggers import TriggerSearch, first_order_gains, usable_tokens

SECTION = {"candidates": 3, "search": {"prompt_length": {"low": 1, "high": 8}}}
BUDGET = Budget(trials=2, steps=23, batch_size=4, eval_every=8, patience=9)


def autoprompt(**section: object) -> AutoPrompt:
    method = build_method("autoprompt", SECTION | section)
    assert isinstance(method, AutoPrompt)
    return method


def data_of(suite: str, name: str, backbone: Backbone, prepared: Path) -> TaskData:
    return task_data(prepared, backbone, suite, name)


def member_of(method: AutoPrompt, data: TaskData, length: int = 3) -> Member:
    job = Job("key", "one", data.task.key, 0, {"prompt_length": length}, 0, "words")
    (member,) = build_members(method, {data.task.key: data}, [job])
    return member


def work_of(
    method: AutoPrompt, member: Member, data: TaskData, budget: Budget = BUDGET, inference_tokens: int = 600
) -> FleetWork:
    return FleetWork(data.backbone, [member], budget, method.settings.recipe, inference_tokens, [data])


def trigger_of(vectors: Tensor) -> FleetParts:
    """A fleet of one member whose trigger has these vectors (P, D)."""
    return FleetParts({TokenPrompt.name: FleetPrompts(vectors[None])})


def loss_under(prompt: Tensor, member: Member, backbone: Backbone) -> Tensor:
    """The mean loss of the first eight train examples under a prompt of vectors."""
    pool, numbers = Pool([member.train], backbone.device), torch.arange(8)
    fleet = Fleet(backbone, [member.space])
    reading = fleet.read(pool.batch(torch.zeros_like(numbers), numbers), trigger_of(prompt))
    return fleet.losses(reading).mean()


def test_gains_are_the_first_order_term_of_every_token_of_the_vocabulary(backbone: Backbone, prepared: Path) -> None:
    member = member_of(autoprompt(), data_of("lama", "P19", backbone, prepared))
    embeddings, place = backbone.word_embeddings(), 1
    prompt = member.trainable.part(TokenPrompt).vectors.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_under(prompt, member, backbone), prompt)
    gains = first_order_gains(gradient[place], embeddings)
    for token in range(len(embeddings)):
        naive = -sum(float(e) * float(g) for e, g in zip(embeddings[token], gradient[place], strict=True))
        assert abs(float(gains[token]) - naive) < 1e-12
    if backbone.model.config.model_type in ("llama", "t5"):
        return  # their normalisation rounds to float32, too coarse for differences
    present = embeddings[0]
    for token in gains.topk(3).indices.tolist():  # against the loss itself, a small way towards the token
        step = torch.zeros_like(prompt)
        step[place] = 1e-7 * (embeddings[token] - present)
        before, after = (loss_under(prompt.detach() + sign * step, member, backbone) for sign in (-1, 1))
        assert float(gains[token] - gains[0]) == pytest.approx(float(before - after) / 2e-7, rel=1e-4)


def test_a_searched_trigger_acts_as_its_words_in_the_text_do(backbone: Backbone, prepared: Path) -> None:
    method, data = autoprompt(), data_of("lama", "P36", backbone, prepared)
    member = member_of(method, data)
    (trained,) = method.train(work_of(method, member, data))
    tokens, vectors = trained.saved["tokens.tokens"], trained.saved["tokens.vectors"]
    torch.testing.assert_close(vectors, backbone.word_embeddings()[tokens], rtol=0, atol=0)
    numbers = torch.arange(len(member.dev))
    batch = Pool([member.dev], backbone.device).batch(torch.zeros_like(numbers), numbers)
    fleet = Fleet(backbone, [member.space])
    by_vectors = fleet.read(batch, trigger_of(vectors)).logits
    in_words = batch.ids.where(batch.slots < 0, tokens[batch.slots.clamp(min=0)])
    literal = Batch(**{**vars(batch), "ids": in_words, "slots": torch.full_like(batch.slots, -1)})
    torch.testing.assert_close(by_vectors, fleet.read(literal, FleetParts()).logits, rtol=0, atol=1e-10)


def test_special_tokens_answers_and_capitals_are_never_tried(backbone: Backbone, prepared: Path) -> None:
    data = data_of("lama", "P106", backbone, prepared)
    usable = usable_tokens(backbone, member_of(autoprompt(), data))
    assert usable.any()
    assert not usable[backbone.tokenizer.all_special_ids].any()
    assert not usable[torch.tensor(data.train["target"].tolist())].any()
    for token in usable.nonzero()[:, 0].tolist():
        assert not backbone.tokenizer.decode([token]).strip()[:1].isupper()
    capital = [i for i in range(len(backbone.tokenizer)) if backbone.tokenizer.decode([i]).strip() == "A"]
    assert capital
    assert not usable[capital].any()


@pytest.mark.parametrize(("suite", "name"), [("lama", "P19"), ("superglue", "cb")])
@pytest.mark.parametrize("steps", [5, 23], ids=["one round", "several rounds"])
def test_no_saved_trigger_holds_what_the_original_filters(
    suite: str, name: str, steps: int, backbone: Backbone, prepared: Path
) -> None:
    """However few rounds there are for however many positions."""
    method, data = autoprompt(), data_of(suite, name, backbone, prepared)
    member = member_of(method, data, length=8)
    budget = BUDGET.model_copy(update={"steps": steps})
    (trained,) = method.train(work_of(method, member, data, budget))
    tokens, tokenizer = trained.saved["tokens.tokens"].tolist(), backbone.tokenizer
    answers = set(data.train["target"].tolist()) | {data.label_space.output_of(label) for label in data.task.labels}
    assert not set(tokens) & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    assert not set(tokens) & answers
    assert not [token for token in tokens if tokenizer.decode([token]).strip()[:1].isupper()]


def test_the_first_gradient_fills_every_position_with_its_most_promising_word(bert: Backbone, prepared: Path) -> None:
    method, data = autoprompt(), data_of("lama", "P19", bert, prepared)
    member = member_of(method, data)
    start = member.trainable.part(TokenPrompt).vectors.clone().requires_grad_()
    rows = next(shuffled_rows(len(member.train), BUDGET.batch_size, torch_generator(member.identity, "order")))
    pool, fleet = Pool([member.train], bert.device), Fleet(bert, [member.space])
    loss = fleet.losses(fleet.read(pool.batch(torch.zeros_like(rows), rows), trigger_of(start))).mean()
    (gradient,) = torch.autograd.grad(loss, start)
    usable = usable_tokens(bert, member).nonzero()[:, 0].tolist()
    expected = [min(usable, key=lambda token: float(bert.word_embeddings()[token] @ at)) for at in gradient]
    search = TriggerSearch(work_of(method, member, data), candidates=3, before=[Trained()])
    search._first_words()
    assert member.trainable.part(TokenPrompt).tokens.tolist() == expected
    assert search.trained[0].steps == 1


@pytest.mark.parametrize(("suite", "name", "loss_first"), [("lama", "P19", True), ("superglue", "rte", False)])
def test_facts_keep_the_trigger_of_the_lowest_loss_labels_that_of_the_best_score(
    suite: str, name: str, loss_first: bool, bert: Backbone, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, data = autoprompt(), data_of(suite, name, bert, prepared)
    member = member_of(method, data)
    told = iter([(0.5, 2.0), (0.9, 3.0), (0.5, 1.0), (0.1, 1.5), (0.0, 9.0), (0.0, 9.0)])

    def dev(_member: Member, step: int, train_loss: float, _predictions: Predictions) -> CurvePoint:
        score, loss = next(told)
        return CurvePoint(step=step, train_loss=train_loss, dev_loss=loss, dev_score=score)

    monkeypatch.setattr(triggers, "curve_point", dev)
    budget = BUDGET.model_copy(update={"steps": 26, "eval_every": 5})
    (trained,) = method.train(work_of(method, member, data, budget))
    steps = [look.step for look in trained.curve]
    assert len(steps) >= 4
    assert (trained.best_step, trained.dev_score) == ((steps[2], 0.5) if loss_first else (steps[1], 0.9))


def test_every_pass_of_a_batch_is_a_step_and_none_goes_beyond_the_budget(
    bert: Backbone, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    read = Fleet.read

    def counted(self: Fleet, batch: Batch, parts: FleetParts, *, inference: bool = False) -> Reading:
        passes.append(len(batch.member) == BUDGET.batch_size)
        return read(self, batch, parts, inference=inference)

    monkeypatch.setattr(Fleet, "read", counted)
    method, data = autoprompt(), data_of("superglue", "rte", bert, prepared)
    member = member_of(method, data)
    (trained,) = method.train(
        work_of(method, member, data, inference_tokens=10**6)
    )  # dev in one pass, not of four rows
    assert sum(passes) == trained.steps
    assert trained.rows.forward - trained.rows.inference == trained.steps * BUDGET.batch_size
    assert BUDGET.steps - 3 < trained.steps <= BUDGET.steps
    assert [look.step for look in trained.curve] == sorted({look.step for look in trained.curve})
    assert trained.curve[-1].step == trained.steps


def test_a_budget_without_room_for_a_search_is_refused(bert: Backbone, prepared: Path) -> None:
    method, data = autoprompt(), data_of("lama", "P36", bert, prepared)
    budget = BUDGET.model_copy(update={"steps": 4})
    with pytest.raises(UserError, match="autoprompt needs at least 5 steps a member, the budget has 4; raise"):
        method.train(work_of(method, member_of(method, data), data, budget))


def test_label_words_are_searched_where_there_are_labels_and_saved(bert: Backbone, prepared: Path) -> None:
    data = data_of("superglue", "cb", bert, prepared)
    saved = {}
    for choice in ("searched", "task"):
        method = autoprompt(label_words=choice)
        (trained,) = method.train(work_of(method, member_of(method, data), data))
        saved[choice] = trained.saved
    words = saved["searched"]["label_words.words"]
    assert "label_words.words" not in saved["task"]
    assert words[:, 0].tolist() == [data.label_space.output_of(label) for label in data.task.labels]
    chosen = [token for token in words[:, 1:].flatten().tolist() if token != NO_WORD]
    assert len(set(chosen)) == len(chosen)
    assert all(bert.tokenizer.decode([token]).isalpha() for token in chosen)


def test_label_words_are_those_a_fitted_classifier_is_surest_of() -> None:
    generator = torch.Generator().manual_seed(0)
    gold = torch.arange(60) % 3
    states = torch.randn(60, 5, generator=generator, dtype=torch.double) + torch.eye(5, dtype=torch.double)[gold]
    vocabulary = torch.randn(40, 5, generator=generator, dtype=torch.double)
    certainty = label_certainty(states, gold, vocabulary, 3)
    other = LogisticRegression(C=1 / (2 * PENALTY * len(gold)), tol=1e-10, max_iter=10_000).fit(states, gold)
    expected = torch.tensor(other.predict_log_proba(vocabulary))
    torch.testing.assert_close(certainty, expected, rtol=0, atol=1e-3)
    rows = surest_words(certainty, [7, 8, 9], 2)
    for index, row in enumerate(rows.tolist()):
        own = [word for word in range(40) if int(expected[word].argmax()) == index]
        assert row == [7 + index, *sorted(own, key=lambda word: -float(expected[word, index]))[:2]]


def test_a_label_without_a_word_of_its_own_keeps_its_output() -> None:
    certainty = torch.tensor([[-0.1, -3.0], [-0.2, -2.0], [-0.5, -1.0]])
    assert surest_words(certainty, [11, 12], 2).tolist() == [[11, 0, 1], [12, 12, NO_WORD]]


def test_an_output_stands_for_the_summed_probability_of_its_words_beside_members_without_any() -> None:
    logits = torch.randn(3, 9, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    words = torch.tensor([[2, 5, 6], [5, 2, NO_WORD]])  # each label's output is a word of the other
    parts = gather([Trainable(LabelWords(words)), Trainable(LabelWords(words[:1, :2])), Trainable()])
    scored = parts.rescored(logits, torch.tensor([0, 1, 2]))
    probability, before = scored.exp(), logits.exp()
    torch.testing.assert_close(probability[0, 2], before[0, 5] + before[0, 6])
    torch.testing.assert_close(probability[0, 5], before[0, 2])
    torch.testing.assert_close(probability[1, 2], before[1, 5])
    untouched = [0, 1, 3, 4, 6, 7, 8]
    assert torch.equal(scored[:2, untouched], logits[:2, untouched])
    assert torch.equal(scored[2], logits[2])


def test_the_search_starts_from_masks_or_a_common_word(backbone: Backbone, prepared: Path) -> None:
    member = member_of(autoprompt(), data_of("lama", "P19", backbone, prepared), length=4)
    trigger = member.trainable.part(TokenPrompt)
    assert trigger.tokens.tolist() == [int(trigger.tokens[0])] * 4
    assert torch.equal(trigger.vectors, backbone.word_embeddings()[trigger.tokens])
    if backbone.kind == "masked":
        assert int(trigger.tokens[0]) == backbone.tokenizer.mask_token_id
    assert member.trainable.trained_numbers == 0
