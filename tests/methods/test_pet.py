"""PET and iPET: soft labels and ensembles against closed forms and the library's own forward pass."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from helpers.profiles import fixture_params
from helpers.task_data import task_data as loaded
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.errors import UserError
from softprompt.inputs.batches import Pool
from softprompt.inputs.task_data import TaskData
from softprompt.methods import TrainedMethod, build_method
from softprompt.methods.base import fresh_trainable
from softprompt.methods.ipet import labelled_texts, labellers
from softprompt.prompts.trainable import gather
from softprompt.tasks.load import DEFINITIONS, load_task, read_definition
from softprompt.tasks.task import Pattern
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained
from softprompt.training.patterns import Ensemble, Plan, Votes, soft_labels, usable_pairs

SECTIONS = fixture_params().methods
BUDGET = Budget(trials=2, steps=17, batch_size=4, eval_every=3, patience=9)


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def task_data(prepared: Path, backbone: Backbone, name: str = "rte") -> TaskData:
    return loaded(prepared, backbone, "superglue", name, head=True)


def member_of(name: str, data: TaskData) -> Member:
    template = data.task.head_input()
    return Member(
        identity="member",
        space=data.label_space.outputs,
        learning_rate=1e-3,
        train=data.split("train", template, 0),
        dev=data.split("dev", template, 0),
        dev_score=lambda answered: -float(answered.loss.mean()),
        trainable=fresh_trainable(method_named(name), data.task, data.backbone, 0, "member").double(),
    )


def trained(name: str, data: TaskData, budget: Budget = BUDGET) -> Trained:
    member = member_of(name, data)
    own = member.trainable.applied_to(data.backbone)
    method = method_named(name)
    (outcome,) = method.train(FleetWork(own, [member], budget, method.settings.recipe, 600, [data]))
    return outcome


def ensemble_of(data: TaskData, generations: int = 1) -> Ensemble:
    recipe = method_named("pet").settings.recipe
    return Ensemble(FleetWork(data.backbone, [member_of("pet", data)], BUDGET, recipe, 300, [data]), generations)


def test_soft_labels_are_the_tempered_softmax() -> None:
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double) * 5
    shares = soft_labels(logits, 2.0)
    for row, given_shares in zip(logits.tolist(), shares.tolist(), strict=True):
        powers = [math.exp(logit / 2) for logit in row]
        assert given_shares == pytest.approx([power / sum(powers) for power in powers], abs=1e-12)


def test_votes_are_joined_as_numpy_averages_them() -> None:
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    votes, close = Votes(logits, torch.tensor([0.5, 0.25, 0.9, 0.0])), {"rtol": 1e-5, "atol": 1e-6}
    for models in ([0, 1, 2, 3], [2], [1, 3]):
        expected = np.average(votes.logits[models].numpy(), axis=0, weights=votes.weights[models].numpy())
        np.testing.assert_allclose(votes.joint(models).numpy(), expected, **close)
    np.testing.assert_allclose(
        votes.joint([3]).numpy(), votes.logits[3].numpy(), **close
    )  # a weight of 0 divides nothing
    nobody = replace(votes, weights=torch.zeros(4))
    np.testing.assert_allclose(nobody.joint([0, 1]).numpy(), votes.logits[:2].mean(dim=0).numpy(), **close)


@given(st.integers(1, 400), st.integers(1, 7), st.integers(1, 4))
def test_a_budget_is_divided_without_remainder(steps: int, pairs: int, generations: int) -> None:
    plan = Plan.of(steps, pairs, generations)
    assert 1 <= plan.models <= pairs
    ensemble = plan.model_steps * plan.models * generations
    if steps >= 2 * generations:
        assert ensemble + plan.classifier_steps == steps
        assert ensemble <= plan.classifier_steps
    if steps >= 2 * pairs * generations:
        assert plan.models == pairs


def test_the_loss_of_soft_labels_is_their_cross_entropy(bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    member = member_of("pet", data)
    shares = soft_labels(torch.randn(len(member.train), 2, generator=torch.Generator().manual_seed(0)), 2.0)
    pool = Pool([replace(member.train, soft=shares)], bert.device)
    fleet, number = Fleet(bert, [member.space]), torch.tensor([4, 0, 9])
    reading = fleet.read(pool.batch(0 * number, number), gather([member.trainable]))
    log_p = reading.logits.detach().log_softmax(dim=1)
    expected = [-sum(float(shares[row, c]) * float(log_p[i, c]) for c in range(2)) for i, row in enumerate([4, 0, 9])]
    assert fleet.losses(reading).detach().tolist() == pytest.approx(expected, abs=1e-6)
    hard = Pool(
        [replace(member.train, soft=torch.nn.functional.one_hot(member.train.target[:, 0], 2).float())], bert.device
    )
    (plain,) = [Pool([member.train], bert.device)]
    losses = [
        fleet.losses(fleet.read(one.batch(0 * number, number), gather([member.trainable]))) for one in (hard, plain)
    ]
    torch.testing.assert_close(losses[0], losses[1])


def word_logits(backbone: Backbone, pair: Pattern, fields: dict[str, str], labels: tuple[str, ...]) -> Tensor:
    """The logits of a pair's words for one text, by the model's own forward pass."""
    tokenizer, model = backbone.tokenizer, backbone.model
    filled = pair.text.replace("{mask}", "____").replace(" {sep}", "{sep}").replace("{sep}", tokenizer.sep_token or "")
    before, _, after = filled.format(**fields).partition("____")
    words = [tokenizer(f" {pair.verbalizer[label]}", add_special_tokens=False)["input_ids"][0] for label in labels]
    if backbone.kind == "causal":
        ids = torch.tensor([tokenizer(before.rstrip())["input_ids"]])
        return model(input_ids=ids).logits[0, -1, words]
    ids = torch.tensor([tokenizer(before + tokenizer.mask_token + after)["input_ids"]])
    return model(input_ids=ids).logits[0, ids[0] == tokenizer.mask_token_id][0, words]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_every_pair_votes_and_weighs_as_the_library_says(
    kind: str, request: pytest.FixtureRequest, prepared: Path
) -> None:
    backbone: Backbone = request.getfixturevalue(kind)
    data = task_data(prepared, backbone)
    ensemble = ensemble_of(data)
    for index, pair in enumerate(ensemble.pairs):
        said = ensemble._label_logits(pair, backbone, ensemble.texts)
        rows = [{str(k): v for k, v in row.items()} for row in ensemble.texts.head(8).to_dict("records")]
        with torch.no_grad():
            expected = torch.stack([word_logits(backbone, pair, row, data.task.labels) for row in rows])
        torch.testing.assert_close(said[:8].double(), expected, rtol=0, atol=1e-5)
        labelled = data.train.head(256)
        with torch.no_grad():
            best = [
                data.task.labels[int(word_logits(backbone, pair, row, data.task.labels).argmax())]
                for row in [{str(k): v for k, v in row.items()} for row in labelled.to_dict("records")]
            ]
        share = sum(a == b for a, b in zip(best, labelled["label"], strict=True)) / len(labelled)
        assert float(ensemble.weights[index]) == pytest.approx(share)


def test_a_trained_ensemble_starts_every_model_from_the_pretrained_backbone(bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    before = {name: value.clone() for name, value in bert.model.state_dict().items()}
    ensemble = ensemble_of(data)
    rows = [data.train for _ in ensemble.pairs]
    first, again = ensemble.votes(rows, 0), ensemble.votes(rows, 0)
    assert torch.equal(first.logits, again.logits)
    assert all(torch.equal(before[name], value) for name, value in bert.model.state_dict().items())
    untrained = torch.stack([ensemble._label_logits(pair, bert, ensemble.texts) for pair in ensemble.pairs])
    assert not torch.equal(first.logits, untrained)


def test_a_model_learns_the_labels_of_its_rows(bert: Backbone, prepared: Path) -> None:
    data = replace(task_data(prepared, bert))
    entailed = data.train.assign(label="entailment")
    ensemble = ensemble_of(data)
    ensemble.plan = replace(ensemble.plan, model_steps=30)
    votes = ensemble.votes([entailed for _ in ensemble.pairs], 0)
    assert (votes.joint(range(len(ensemble.pairs))).argmax(dim=1) == 0).all()


@pytest.mark.parametrize("name", ["pet", "ipet"])
def test_the_stages_together_spend_the_common_budget(name: str, backbone: Backbone, prepared: Path) -> None:
    outcome = trained(name, task_data(prepared, backbone))
    assert outcome.steps == BUDGET.steps
    assert outcome.curve[-1].step == BUDGET.steps
    assert outcome.best_step in [look.step for look in outcome.curve]
    assert {key.split(".")[0] for key in outcome.saved} == {"head", "weights"}


@pytest.mark.parametrize("name", ["pet", "ipet"])
def test_training_again_gives_the_same_classifier(name: str, bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    first, again = (trained(name, data) for _ in range(2))
    assert all(torch.equal(first.saved[key], again.saved[key]) for key in first.saved)


def test_a_pair_that_runs_away_fails_the_member_with_its_name(bert: Backbone, prepared: Path) -> None:
    broken = bert.tuned_copy()
    with torch.no_grad():
        broken.model.get_input_embeddings().weight.fill_(float("nan"))
    for name in ("pet", "ipet"):
        outcome = trained(name, task_data(prepared, broken))
        assert not outcome.saved
        assert outcome.failure.startswith("pair pet-0: the training loss was not finite")
        assert outcome.steps > 0


def test_unlabelled_texts_are_taken_where_there_are_any(bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    assert set(ensemble_of(data).texts["id"]) <= set(data.train["id"])
    others = data.dev.drop(columns="target").assign(label="", id=[f"unlabeled-{i}" for i in range(len(data.dev))])
    with_texts = ensemble_of(replace(data, unlabeled=others))
    assert set(with_texts.texts["id"]) <= set(others["id"])
    assert len(with_texts.texts) == min(len(others), with_texts.plan.classifier_steps * BUDGET.batch_size)


def texts_of(count: int) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"text-{i}" for i in range(count)], "label": ""})


def test_a_generation_learns_from_what_the_others_are_sure_of(bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    data = replace(data, train=data.train.head(6).assign(label=["entailment"] * 4 + ["not_entailment"] * 2))
    logits = torch.zeros(2, 100, 2)
    logits[0, :60, 0], logits[0, 60:, 1] = 20.0, 20.0  # model 0 knows, model 1 has it the other way round
    logits[1] = -logits[0]
    votes = Votes(logits, torch.tensor([0.5, 0.5]))
    draw = torch.Generator().manual_seed(0)
    for_other = labelled_texts(votes, 1, texts_of(100), data, 1, draw)
    assert for_other["label"].value_counts().to_dict() == {"entailment": 16, "not_entailment": 8}  # (5 - 1) x train
    assert for_other["id"].is_unique
    number = for_other["id"].str.removeprefix("text-").astype(int)
    assert ((number < 60) == (for_other["label"] == "entailment")).all()
    second = labelled_texts(votes, 1, texts_of(100), data, 2, draw)
    assert second["label"].value_counts().to_dict() == {"entailment": 60, "not_entailment": 40}  # all there are
    one_label = Votes(torch.tensor([[[1.0, 0.0]] * 9]), torch.tensor([1.0]))
    assert set(labelled_texts(one_label, 0, texts_of(9), data, 1, draw)["label"]) == {"entailment"}


def test_sure_texts_are_drawn_more_often(bert: Backbone, prepared: Path) -> None:
    data = task_data(prepared, bert)
    data = replace(data, train=data.train.head(1).assign(label="entailment"))
    sure = torch.tensor([[math.log(9.0), 0.0]] * 20 + [[math.log(1.5), 0.0]] * 20)  # shares 0.9 and 0.6
    votes, draw = Votes(sure[None], torch.ones(1)), torch.Generator().manual_seed(3)
    drawn = pd.concat([labelled_texts(votes, 0, texts_of(40), data, 1, draw) for _ in range(500)])
    share = (drawn["id"].str.removeprefix("text-").astype(int) < 20).mean()
    assert share == pytest.approx(0.6, abs=0.03)  # 0.9 / (0.9 + 0.6), a little less without replacement


def test_a_quarter_of_the_others_labels() -> None:
    draw = torch.Generator().manual_seed(0)
    assert labellers(1, 0, draw) == [0]
    for models, count in ((2, 1), (4, 1), (9, 2), (13, 3)):
        chosen = [labellers(models, 1, draw) for _ in range(30)]
        assert all(len(set(one)) == count and 1 not in one for one in chosen)
        assert set().union(*chosen) == set(range(models)) - {1}


def ids(suite: str, name: str, kind: Any, prepared: Path) -> list[str]:
    return [pair.id for pair in load_task(suite, name, prepared).pairs(kind)]


def test_masked_backbones_are_asked_the_pairs_of_pets_own_runs(tmp_path: Path) -> None:
    expected = {"rte": range(4), "cb": range(4), "boolq": range(6), "multirc": range(4), "wic": range(3)}
    for name, numbers in expected.items():
        for kind in ("masked", "seq2seq"):
            assert sorted(ids("fewglue", name, kind, tmp_path)) == [f"pet-{number}" for number in numbers]


def test_causal_backbones_are_asked_what_they_can_read(tmp_path: Path) -> None:
    assert ids("fewglue", "cb", "causal", tmp_path) == ["question", "follow", "pet-4"]
    assert ids("fewglue", "boolq", "causal", tmp_path) == ["pet-0", "pet-2", "pet-1", "pet-3"]
    assert ids("glue", "mrpc", "causal", tmp_path) == ["same"]
    words = {pair.id: pair.verbalizer for pair in load_task("fewglue", "cb", tmp_path).pairs("causal")}
    assert words["follow"]["neutral"] == "Maybe"
    assert words["pet-4"]["neutral"] == "neither"


def test_pairs_whose_words_are_split_are_left_out(bert: Backbone, tmp_path: Path) -> None:
    task = load_task("superglue", "boolq", tmp_path)  # the small world says Yes and No, never true and false
    assert [pair.id for pair in usable_pairs(task, bert)] == ["pet-0", "pet-2", "pet-4"]
    strange = {"false": "Zzyzxa", "true": "Quuxly"}
    split = task.model_copy(update={"verbalizer": strange, "patterns": ()})
    assert len(usable_pairs(split, bert)) == 3


def test_what_pet_does_not_ask_has_a_reason(bert: Backbone, prepared: Path) -> None:
    lama = load_task("lama", "P19", prepared)
    for name in ("pet", "ipet"):
        method = method_named(name)
        assert "no labels that a classifier could learn" in method.inapplicable(lama, bert)
        for task in ("copa", "wsc"):
            reason = method.inapplicable(load_task("superglue", task, prepared), bert)
            assert reason == f"PET asks {task} without distilling a classifier, which is manual_fine_tuning"
        assert method.inapplicable(load_task("superglue", "record", prepared), bert)
        rte = load_task("superglue", "rte", prepared)
        assert not method.inapplicable(rte, bert)
        assert "no language-model head" in method.inapplicable(rte, replace(bert, has_lm_head=False))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"verbalizer": {"entailment": "true"}},
            r"pattern 'pet-4' .*`verbalizer` has \['entailment'\]; expected a word for each",
        ),
        ({"verbalizer": {"entailment": "true", "not_entailment": "true"}}, "expected different single words"),
        ({"id": "follow"}, "another pattern or manual template has this id"),
        ({"text": "{premise} {nothing} {mask}"}, "unknown slot {nothing}"),
    ],
)
def test_a_wrong_pattern_is_refused(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    content = yaml.safe_load((DEFINITIONS / "rte.yaml").read_text())
    content["patterns"][0] |= change
    path = tmp_path / "rte.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=expected):
        read_definition(path, "superglue", "rte")
