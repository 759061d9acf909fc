"""A member whose numbers run away, wherever that begins, changes nothing of its neighbours in a fleet."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from helpers.backbones import dropping_backbone, tiny_backbone
from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Recipe
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.experiments.task_loading import load_task_data
from softprompt.finite import not_finite
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.methods.shared.tasks_together import TasksTogether
from softprompt.tasks.load import load_task
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
FROZEN = sorted(name for name, one in METHODS.items() if issubclass(one, TrainedMethod) and one.state == "frozen")
TOGETHER = [name for name in FROZEN if issubclass(METHODS[name], TasksTogether)]
DESCENDING = [name for name in FROZEN if build_method(name, SECTIONS[name]).settings.descends]
BUDGET = Budget(trials=2, steps=8, batch_size=5, eval_every=2, patience=4)
BROKEN = 1  # the member in the middle


def with_nan_numbers(member: Member) -> None:
    """All that it trains or searches is NaN from the start."""
    for tensor in (*member.trainable.parameters(), *member.trainable.buffers()):
        if tensor.is_floating_point():
            tensor.data.fill_(math.nan)


def with_endless_gradients(member: Member) -> None:
    """Its gradients are infinite or NaN, and so their norm and the optimiser's moments."""
    member.loss_weight = math.inf


def with_an_endless_rate(member: Member) -> None:
    """Its first step ends near the largest numbers."""
    member.learning_rate = 1e307


@dataclass(frozen=True)
class Attack:
    """How a member breaks, on which backbone, by which recipe."""

    breaks: Callable[[Member], None]
    backbone: str
    recipe: Recipe
    drops_out: bool = False

    def on(self, prepared: Path) -> Backbone:
        return (dropping_backbone if self.drops_out else tiny_backbone)(self.backbone, prepared)


CLIPPED = Recipe(optimizer="adamw", clip_norm=1.0)
ATTACKS = {
    "numbers": Attack(with_nan_numbers, "bert", CLIPPED),
    "gradients": Attack(with_endless_gradients, "gpt2", CLIPPED),
    "moments": Attack(with_endless_gradients, "t5", Recipe(optimizer="adafactor")),
    "rate": Attack(with_an_endless_rate, "t5", CLIPPED),
    "dropout": Attack(with_nan_numbers, "bert", CLIPPED.model_copy(update={"backbone_dropout": True}), drops_out=True),
}


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def members_of(method: TrainedMethod, data: list[TaskData], groups: list[str]) -> list[Member]:
    """Of different lengths, so that shorter prompts and prefixes are padded beside the longer ones."""
    rate = {"learning_rate": 1e-2} if method.settings.descends else {}
    jobs = [
        Job(
            key=str(number),
            identity=f"member-{number}",
            task=one.task.key,
            seed=number,
            settings={"prompt_length": 2 if method.together else 2 + number} | rate,
            tokens=0,
            reading="label words",
            group=group,
        )
        for number, (one, group) in enumerate(zip(data, groups, strict=True))
    ]
    return build_members(method, {one.task.key: one for one in data}, jobs)


def train(method: TrainedMethod, members: list[Member], data: list[TaskData], recipe: Recipe) -> list[Trained]:
    return method.train(FleetWork(data[0].backbone, members, BUDGET, recipe, 600, data))


def assert_same(one: Trained, other: Trained) -> None:
    assert (one.failure, one.steps, one.best_step) == ("", other.steps, other.best_step)
    assert [point.dev_score for point in one.curve] == [point.dev_score for point in other.curve]
    assert one.saved.keys() == other.saved.keys()
    for name, saved in other.saved.items():
        torch.testing.assert_close(one.saved[name], saved, rtol=0, atol=1e-8)


def relation(backbone: Backbone, prepared: Path, name: str = "P19") -> TaskData:
    return load_task_data(prepared / "lama", load_task("lama", name, prepared), backbone, 128, head=False)


# A search without gradients can be broken by its numbers alone.
PAIRS = [(name, attack) for name in FROZEN for attack in ATTACKS if name in DESCENDING or attack == "numbers"]


@pytest.mark.parametrize(("name", "attack"), PAIRS)
def test_a_broken_member_touches_no_neighbour(name: str, attack: str, prepared: Path) -> None:
    method, how = method_named(name), ATTACKS[attack]
    data = [relation(how.on(prepared), prepared)] * 3
    groups = [str(number) if method.together else "" for number in range(3)]
    members = members_of(method, data, groups)
    how.breaks(members[BROKEN])
    together = train(method, members, data, how.recipe)
    alone = members_of(method, data, groups)
    for index in (0, 2):
        assert_same(together[index], train(method, [alone[index]], data[:1], how.recipe)[0])
    broken = together[BROKEN]
    assert not broken.saved or not not_finite(broken.saved.items())
    if method.settings.descends and how.breaks is with_nan_numbers:
        assert "loss was not finite by step 2" in broken.failure
        assert (broken.saved, broken.curve, broken.steps) == ({}, [], 2)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_broken_task_ends_its_group_and_no_other(name: str, bert: Backbone, prepared: Path) -> None:
    method = method_named(name)
    data = [relation(bert, prepared, task) for task in ("P19", "P36", "P19", "P36")]
    groups = ["first", "first", "second", "second"]
    members = members_of(method, data, groups)
    with_nan_numbers(members[0])
    together = train(method, members, data, CLIPPED)
    assert all("not finite" in one.failure for one in together[:2])
    for one, other in zip(
        together[2:], train(method, members_of(method, data, groups)[2:], data[2:], CLIPPED), strict=True
    ):
        assert_same(one, other)
