"""Training through a backbone that drops out: every member as alone, dev without any noise."""

from pathlib import Path

import pytest
import torch

from helpers.backbones import dropping_backbone, tiny_backbone
from helpers.profiles import fixture_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.dropout import row_streams
from softprompt.config import Budget, Recipe
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Pool
from softprompt.inputs.task_data import TaskData
from softprompt.methods import TrainedMethod, build_method
from softprompt.prompts.trainable import gather, restored
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
BUDGET = Budget(trials=2, steps=4, batch_size=5, eval_every=2, patience=2)
NOISY, QUIET = (Recipe(optimizer="adamw", clip_norm=1.0, backbone_dropout=there) for there in (True, False))
MEMBERS = [("lama/P19", 5, 1e-2), ("lama/P36", 2, 3e-3), ("lama/P19", 3, 2e-2)]  # task, length, rate


def data_of(backbone: Backbone, prepared: Path, name: str) -> TaskData:
    return task_data(prepared, backbone, *name.split("/"))


def members_of(name: str, backbone: Backbone, prepared: Path) -> list[Member]:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    data = {task: data_of(backbone, prepared, task) for task in {task for task, *_ in MEMBERS}}
    jobs = [
        Job(f"{n}", f"member-{n}", task, n, {"prompt_length": length, "learning_rate": rate}, 0, "label words")
        for n, (task, length, rate) in enumerate(MEMBERS)
    ]
    return build_members(method, data, jobs)


def train(backbone: Backbone, members: list[Member], recipe: Recipe) -> list[Trained]:
    return train_fleet(FleetWork(backbone, members, BUDGET, recipe, 600))


@pytest.mark.parametrize("name", ["p_tuning", "prefix_tuning", "prompt_pool_topk"])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama", "t5"])
def test_a_member_trains_in_a_fleet_as_it_does_alone(name: str, model_type: str, prepared: Path) -> None:
    backbone = dropping_backbone(model_type, prepared)
    together = train(backbone, members_of(name, backbone, prepared), NOISY)
    quiet = train(backbone, members_of(name, backbone, prepared), QUIET)
    for index, trained in enumerate(together):
        (alone,) = train(backbone, [members_of(name, backbone, prepared)[index]], NOISY)
        for key, saved in alone.saved.items():
            torch.testing.assert_close(trained.saved[key], saved, rtol=0, atol=1e-8)
        assert trained.curve[0].train_loss != quiet[index].curve[0].train_loss


def test_dev_is_scored_without_noise(prepared: Path) -> None:
    backbone = dropping_backbone("bert", prepared, rate=0.5)
    (member,) = members_of("p_tuning", backbone, prepared)[:1]
    (trained,) = train(backbone, [member], NOISY)
    fleet, pool = Fleet(backbone, [member.space]), Pool([member.dev], backbone.device)
    parts = gather([restored(trained.saved, backbone, 5)])
    (again,) = fleet.predict(pool, [0], parts, 600)
    plain = tiny_backbone("bert", prepared)  # the same weights, no dropout
    (without,) = Fleet(plain, [member.space]).predict(pool, [0], parts, 600)
    assert torch.equal(again.loss, without.loss)
    assert float(again.loss.mean()) == pytest.approx(trained.dev_loss, abs=1e-6)


def test_members_and_steps_have_noise_of_their_own(prepared: Path) -> None:
    backbone = dropping_backbone("bert", prepared)
    member = members_of("p_tuning", backbone, prepared)[0]
    fleet, parts = Fleet(backbone, [member.space] * 2), gather([member.trainable] * 2)
    batch = Pool([member.train] * 2, backbone.device).batch(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 0]))
    first, later, again = (
        fleet.read(batch, parts, row_streams(torch.tensor(streams), batch.member)).logits
        for streams in ([1, 2], [3, 4], [1, 2])
    )
    assert torch.equal(first, again)
    readings = [*first, *later]  # one example, read eight times
    for index, reading in enumerate(readings):
        assert all((reading - other).abs().max() > 1e-6 for other in readings[:index])


def test_a_tuned_backbone_drops_out_alike_every_time_and_by_the_recipe_only(prepared: Path) -> None:
    backbone = dropping_backbone("bert", prepared)

    def tuned(recipe: Recipe, index: int = 0) -> Trained:
        member = members_of("manual_fine_tuning", backbone, prepared)[index]
        return train(member.trainable.applied_to(backbone), [member], recipe)[0]

    first, again, quiet, other = tuned(NOISY), tuned(NOISY), tuned(QUIET), tuned(NOISY, 2)
    assert all(torch.equal(first.saved[key], again.saved[key]) for key in first.saved)
    losses = [one.curve[0].train_loss for one in (first, quiet, other)]
    assert len(set(losses)) == 3
    (member,) = members_of("manual_fine_tuning", tiny_backbone("bert", prepared), prepared)[:1]
    plain = train(member.trainable.applied_to(tiny_backbone("bert", prepared)), [member], NOISY)
    assert plain[0].curve == quiet.curve
