"""What counts as a hit: the first of equals, never what is no number, read in float32 whatever the backbone's dtype."""

import copy
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers.backbones import BACKBONE_TYPES, tiny_backbone
from helpers.profiles import fixture_params
from helpers.task_data import task_data as loaded
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Recipe
from softprompt.errors import NotFiniteError, UserError
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.experiments.untrained import template_scores
from softprompt.inputs.batches import Pool
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.task_data import TaskData
from softprompt.methods import TrainedMethod, build_method
from softprompt.prompts.trainable import FleetParts
from softprompt.training.fleet import Fleet, _rank
from softprompt.training.loop import FleetWork, curve_point, keep_best, train_fleet
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
BUDGET = Budget(trials=2, steps=4, batch_size=5, eval_every=2, patience=2)
CLIPPED = Recipe(optimizer="adamw", clip_norm=1.0)
scores = st.one_of(st.integers(-2, 2).map(float), st.sampled_from([math.nan, math.inf]))


def task_data(backbone: Backbone, prepared: Path, name: str = "lama/P19") -> TaskData:
    return loaded(prepared, backbone, *name.split("/"))


def members_of(method: TrainedMethod, data: TaskData, rates: list[float]) -> list[Member]:
    jobs = [
        Job(f"{n}", f"member-{n}", data.task.key, n, {"learning_rate": rate, "prompt_length": 2 + n}, 0, "label words")
        for n, rate in enumerate(rates)
    ]
    return build_members(method, {data.task.key: data}, jobs)


def train(members: list[Member], data: TaskData, recipe: Recipe = CLIPPED) -> list[Trained]:
    work = FleetWork(data.backbone, members, BUDGET, recipe, 600, [data] * len(members))
    return train_fleet(work)


@given(st.lists(scores, min_size=1, max_size=6), st.data())
def test_ranks_are_places_in_an_order_by_score_and_number(row: list[float], data: st.DataObject) -> None:
    gold = data.draw(st.integers(0, len(row) - 1))
    rank = int(_rank(torch.tensor([row]), torch.tensor([gold]))[0])
    if any(math.isnan(one) for one in row):
        assert rank > 1
    else:
        order = sorted(range(len(row)), key=lambda number: (-row[number], number))
        assert rank == 1 + order.index(gold)
        assert (rank == 1) == (int(torch.tensor(row).argmax()) == gold)


def saying(backbone: Backbone, number: float) -> Backbone:
    """A backbone all of whose weights are one number, so that it says the same of every word."""
    model = copy.deepcopy(backbone.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(number)
    return backbone.with_model(model)


@pytest.mark.parametrize("name", ["lama/P19", "superglue/rte"])
def test_of_equals_the_first_is_the_answer_and_no_other_is_right(name: str, gpt2: Backbone, prepared: Path) -> None:
    data = task_data(saying(gpt2, 0.0), prepared, name)
    split = data.split("dev", data.task.templates("manual", "causal")[0], 0)
    fleet = Fleet(data.backbone, [data.label_space.outputs])
    (found,) = fleet.predict(Pool([split], data.backbone.device), [0], FleetParts(), 600)
    first = int(data.label_space.outputs.allowed.nonzero()[0])
    assert set(found.prediction.tolist()) == {first}
    assert torch.equal(found.gold_rank == 1, torch.tensor(data.dev["target"].tolist()) == first)
    assert 1 < int(found.gold_rank.max()) <= int(data.label_space.outputs.allowed.sum())


def test_a_rate_without_bounds_ends_in_a_failure(prepared: Path) -> None:
    backbone = tiny_backbone("gpt2", prepared)
    backbone.model.float()
    method = build_method("prefix_tuning", SECTIONS["prefix_tuning"])
    assert isinstance(method, TrainedMethod)
    data = task_data(backbone, prepared)
    data.split("dev", method.templates(data.task, "causal")[0], 2)
    ran_away, sane = train(members_of(method, data, [1e30, 1e-3]), data)
    assert "not finite" in ran_away.failure
    assert not ran_away.saved
    assert not sane.failure


def test_a_member_keeps_its_last_finite_state(bert: Backbone, prepared: Path) -> None:
    method = build_method("p_tuning_plain", SECTIONS["p_tuning_plain"])
    assert isinstance(method, TrainedMethod)
    (member,), one = members_of(method, task_data(bert, prepared), [1e-2]), Trained()
    right = torch.tensor(member.dev.target[:, 0].tolist())
    for step, loss in ((2, 1.0), (4, math.nan), (6, math.inf)):
        answers = Predictions(right, torch.ones_like(right), torch.full((len(right),), loss))
        one.curve.append(curve_point(member, step, 0.5, answers))
        keep_best([member], [one], step, patience=2)
    assert (one.failure, one.best_step, one.dev_score, len(one.curve)) == ("", 2, 1.0, 1)
    assert one.evaluations_since_best == 2
    with pytest.raises(NotFiniteError, match=rf"the logits of {len(right)} of {len(right)} examples are not finite"):
        member.dev_score(answers)


@pytest.mark.parametrize("model_type", BACKBONE_TYPES)
def test_a_narrow_backbone_is_scored_as_its_weights_in_float32_say(model_type: str, prepared: Path) -> None:
    narrow = tiny_backbone(model_type, prepared)
    narrow.model.bfloat16()
    wide = narrow.with_model(copy.deepcopy(narrow.model).float())
    before = {name: weight.clone() for name, weight in narrow.model.named_parameters()}
    states = torch.randn(40, narrow.hidden_size, generator=torch.Generator().manual_seed(1)).requires_grad_()
    logits = narrow.project(states)
    torch.testing.assert_close(logits, wide.project(states.detach()), rtol=0, atol=0)
    rounded = logits.detach().bfloat16()
    assert len(rounded.unique()) < 0.2 * rounded.numel() < 0.8 * rounded.numel() < len(logits.detach().unique())
    (gradient,) = torch.autograd.grad(logits.sum(), states)
    assert gradient.dtype == torch.float32
    after = dict(narrow.model.named_parameters())
    assert all(after[name].dtype == torch.bfloat16 and torch.equal(after[name], was) for name, was in before.items())


def test_a_backbone_of_nan_has_no_dev_score(bert: Backbone, prepared: Path) -> None:
    data = task_data(saying(bert, math.nan), prepared)
    with pytest.raises(UserError, match="examples are not finite"):
        template_scores(data, data.task.templates("manual", "masked"), 600)


def test_the_likeliest_answers_stand_in_the_order_of_ranks(gpt2: Backbone, prepared: Path) -> None:
    data = task_data(saying(gpt2, 0.0), prepared)
    split = data.split("dev", data.task.templates("manual", "causal")[0], 0)
    fleet, number = Fleet(data.backbone, [data.label_space.outputs]), torch.arange(2)
    reading = fleet.read(Pool([split], data.backbone.device).batch(0 * number, number), FleetParts())
    best, shares = fleet.ranked(reading, FleetParts(), 5)
    allowed: Tensor = data.label_space.outputs.allowed.nonzero()[:5, 0]
    assert torch.equal(best, allowed.expand(2, -1))
    assert torch.allclose(shares, torch.full_like(shares, 1 / int(data.label_space.outputs.allowed.sum())))
    assert isinstance(data.backbone.model, nn.Module)
