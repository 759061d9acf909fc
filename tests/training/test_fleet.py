"""The contract of fleets, for every trained method on every type of backbone: in company as alone."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.profiles import fixture_params
from helpers.task_data import task_data, task_of
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Pool
from softprompt.inputs.encoding import ORDINARY
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.prompts.trainable import gather
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
# Methods that train in a way of their own have tests of their own.
TRAINED = sorted(
    name
    for name, method in METHODS.items()
    if issubclass(method, TrainedMethod) and method.train is TrainedMethod.train
)
FROZEN = [name for name in TRAINED if METHODS[name].state == "frozen"]
DESCENDING = [name for name in TRAINED if build_method(name, SECTIONS[name]).settings.descends]
BUDGET = Budget(trials=2, steps=6, batch_size=5, eval_every=2, patience=2)
# Different relations, lengths and rates, so that a leak between members would show.
SETTINGS = [("P19", 5, 1e-2), ("P36", 2, 3e-3), ("P19", 3, 2e-2)]


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def data_of(method: TrainedMethod, backbone: Backbone, prepared: Path) -> list[TaskData]:
    """Of the members in `SETTINGS`, in their order."""
    head = method.uses_head(task_of("lama", "P19", prepared))
    return [task_data(prepared, backbone, "lama", name, head=head) for name, *_ in SETTINGS]


def members_of(method: TrainedMethod, backbone: Backbone, prepared: Path) -> list[Member]:
    data = {one.task.key: one for one in data_of(method, backbone, prepared)}
    jobs = [
        Job(
            key=str(index),
            identity=f"member-{index}",
            task=f"lama/{name}",
            seed=index,
            settings={"learning_rate": rate, "prompt_length": length},
            tokens=0,
            reading="label words",
        )
        for index, (name, length, rate) in enumerate(SETTINGS)
    ]
    return build_members(method, data, jobs)


def train(
    backbone: Backbone, members: list[Member], method: TrainedMethod, data: list[TaskData], budget: Budget = BUDGET
) -> list[Trained]:
    return method.train(FleetWork(backbone, members, budget, method.settings.recipe, 600, data))


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", FROZEN)
def test_a_member_trains_in_a_fleet_as_it_does_alone(name: str, backbone: Backbone, prepared: Path) -> None:
    method = method_named(name)
    data = data_of(method, backbone, prepared)
    together = train(backbone, members_of(method, backbone, prepared), method, data)
    for index, trained in enumerate(together):
        (alone,) = train(backbone, [members_of(method, backbone, prepared)[index]], method, [data[index]])
        assert_same(trained.saved, alone.saved)
        assert trained.best_step == alone.best_step
        assert [point.dev_score for point in trained.curve] == [point.dev_score for point in alone.curve]


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_training_leaves_the_backbone_as_it_was(name: str, backbone: Backbone, prepared: Path) -> None:
    method = method_named(name)
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    members = members_of(method, backbone, prepared)
    start = [member.trainable.saved() for member in members]
    trained = train(backbone, members, method, data_of(method, backbone, prepared))
    after = backbone.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None for parameter in backbone.model.parameters())
    for was, became in zip(start, trained, strict=True) if method.settings.descends else ():
        assert any(not torch.equal(was[name], became.saved[name]) for name in was)


@pytest.mark.parametrize("name", DESCENDING)
def test_the_training_loss_falls_by_as_many_numbers_as_are_counted(
    name: str, backbone: Backbone, prepared: Path
) -> None:
    method = method_named(name)
    member = members_of(method, backbone, prepared)[0]
    member.learning_rate = max(method.settings.values_of("learning_rate"))  # how far a method has to move is its own
    own = member.trainable.applied_to(backbone)
    budget = BUDGET.model_copy(update={"steps": 40, "eval_every": 10, "patience": 9})
    (trained,) = train(own, [member], method, data_of(method, backbone, prepared)[:1], budget)
    assert min(look.train_loss for look in trained.curve[1:]) < trained.curve[0].train_loss
    if name != "multitask_prompt_mpt":  # whose second stage trains a copy
        moved = [parameter.numel() for parameter in member.trainable.parameters() if parameter.grad is not None]
        assert sum(moved) == member.trainable.trained_numbers


@pytest.mark.parametrize("name", TRAINED)
def test_the_prompt_length_is_honoured_and_saved_parameters_are_counted(
    name: str, backbone: Backbone, prepared: Path
) -> None:
    method = method_named(name)
    for member, (_, length, _) in zip(members_of(method, backbone, prepared), SETTINGS, strict=True):
        saved = member.trainable.saved()
        if method.state == "tuned":
            weights = sum(tensor.numel() for name, tensor in saved.items() if name.startswith("weights."))
            assert weights == sum(p.numel() for p in backbone.model.parameters())
        if method.settings.prompt_length is None:
            continue
        assert member.trainable.positions == length
        if "prompt.vectors" in saved:
            assert saved["prompt.vectors"].shape == (length, backbone.embedding_size)
        if "prefix.vectors" in saved:
            assert saved["prefix.vectors"].shape[0] == length
            assert int(member.train.encoded.slots.max()) == ORDINARY
        else:
            assert int(member.train.encoded.slots.max()) == length - 1


@pytest.mark.parametrize("name", FROZEN)
def test_padding_never_changes_a_rows_logits(name: str, backbone: Backbone, prepared: Path) -> None:
    method = method_named(name)
    members = members_of(method, backbone, prepared)
    fleet = Fleet(backbone, [member.space for member in members])
    with torch.no_grad():
        parts = gather([member.trainable for member in members])
    pool = Pool([member.train for member in members], backbone.device)
    owner = torch.tensor([0, 1, 2, 0, 1, 2])
    row = torch.tensor([0, 0, 1, 2, 3, 4])
    together = fleet.read(pool.batch(owner, row), parts).logits
    for index in range(len(owner)):
        alone = fleet.read(pool.batch(owner[index : index + 1], row[index : index + 1]), parts).logits
        torch.testing.assert_close(together[index], alone[0], rtol=0, atol=1e-10)


def test_a_tuned_backbone_gives_the_same_weights_every_time(bert: Backbone, prepared: Path) -> None:
    method = method_named("manual_fine_tuning")
    outcomes = []
    for _ in range(2):
        member = members_of(method, bert, prepared)[0]
        own = member.trainable.applied_to(bert)
        assert own.model is not bert.model
        outcomes += train(own, [member], method, data_of(method, bert, prepared)[:1])
    assert_same(outcomes[0].saved, outcomes[1].saved)


def test_the_random_backbone_is_made_alike_by_every_process_and_knows_nothing_of_the_other(backbone: Backbone) -> None:
    method = method_named("random_backbone")
    first, second = (dict(method.prepared_backbone(backbone).model.named_parameters()) for _ in range(2))
    for name, pretrained in backbone.model.named_parameters():
        assert torch.equal(first[name], second[name])
        assert not first[name].requires_grad
        assert pretrained.std() == 0 or not torch.equal(first[name], pretrained)
