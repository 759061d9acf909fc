"""Prompts in front of sentences whose every word is tagged: in company as alone, padded as bare, restored as trained;
and groups of tasks whose answers differ in form, with weights of their own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from helpers.backbones import tiny_backbone
from helpers.profiles import profile_content, profile_params
from helpers.task_data import task_data, task_of
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.config.parsing import parse_params
from softprompt.errors import UserError
from softprompt.experiments.checks import checked
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Pool
from softprompt.inputs.encoding import NO_TOKEN, ORDINARY
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.methods.multitask_prompt_mpt import as_target
from softprompt.methods.shared.prompts_in_front import PromptInFront
from softprompt.methods.shared.tasks_together import TasksTogether
from softprompt.prompts.selector import Selector, selected_prompts
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable, gather, restored
from softprompt.tasks.load import load_task
from softprompt.training import loop
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member, Trained
from softprompt.training.optimizers import build_optimizer

SECTIONS = profile_params("multitask").methods
IN_FRONT = sorted(name for name, method in METHODS.items() if issubclass(method, PromptInFront))
TOGETHER = sorted(name for name, method in METHODS.items() if issubclass(method, TasksTogether))
FORMS = {"sentiment": "label words", "ner": "tagging head"}
BUDGET = Budget(trials=2, steps=6, batch_size=5, eval_every=2, patience=2)
GROUPS = {"first": (3, 1e-1), "second": (5, 3e-2)}  # prompt length and learning rate


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def reader(request: pytest.FixtureRequest, prepared: Path) -> Backbone:
    return tiny_backbone(request.param, prepared)


def method_named(name: str, **settings: object) -> TrainedMethod:
    method = build_method(name, {**SECTIONS[name], **settings})
    assert isinstance(method, TrainedMethod)
    return method


def data_of(method: TrainedMethod, reader: Backbone, extra: Path) -> dict[str, TaskData]:
    tasks = {name: task_of("extra", name, extra) for name in FORMS}
    return {
        task.key: task_data(extra, reader, "extra", name, head=method.uses_head(task)) for name, task in tasks.items()
    }


def members_of(
    method: TrainedMethod, reader: Backbone, extra: Path, *groups: str, tasks: tuple[str, ...] = tuple(FORMS)
) -> list[Member]:
    jobs = [
        Job(
            key=f"{group}-{task}",
            identity=f"{group}-{task}",
            task=f"extra/{task}",
            seed=0,
            settings={"learning_rate": GROUPS[group][1], "prompt_length": GROUPS[group][0]},
            tokens=0,
            reading=FORMS[task],
            group=group if method.together else "",
        )
        for group in groups
        for task in tasks
    ]
    return build_members(method, data_of(method, reader, extra), jobs)


def train(reader: Backbone, members: list[Member], method: TrainedMethod) -> list[Trained]:
    return method.train(FleetWork(reader, members, BUDGET, method.settings.recipe, 600))


def assert_same(first: Trained, second: Trained) -> None:
    assert first.saved.keys() == second.saved.keys()
    for name in first.saved:
        torch.testing.assert_close(first.saved[name], second.saved[name], rtol=0, atol=1e-8)
    assert [look.dev_score for look in first.curve] == [look.dev_score for look in second.curve]


@pytest.mark.parametrize("name", IN_FRONT)
def test_taggers_train_in_a_fleet_as_they_do_alone(name: str, reader: Backbone, extra: Path) -> None:
    method = method_named(name)
    together = train(reader, members_of(method, reader, extra, *GROUPS, tasks=("ner",)), method)
    for group, trained in zip(GROUPS, together, strict=True):
        (alone,) = train(reader, members_of(method, reader, extra, group, tasks=("ner",)), method)
        assert_same(trained, alone)
        assert {key.partition(".")[0] for key in trained.saved} >= {"head"}


@pytest.mark.parametrize("name", IN_FRONT)
def test_what_is_saved_tags_alone_and_unpadded_as_in_a_batch(name: str, reader: Backbone, extra: Path) -> None:
    """Four sentences of two members, against each by itself, with the parts that its cell would load."""
    method = method_named(name)
    members = members_of(method, reader, extra, *GROUPS, tasks=("ner",))
    pool, owner = Pool([member.train for member in members], reader.device), torch.tensor([0, 1, 0, 1])
    batch = pool.batch(owner, torch.arange(4))
    assert len(set(batch.attention_mask.sum(dim=1).tolist())) > 1
    fleet = Fleet(reader, [member.space for member in members])
    with torch.no_grad():
        together = fleet.read(batch, gather([member.trainable for member in members]))
        for row in range(4):
            member = members[int(batch.member[row])]
            own = pool.batch(owner[[row]], torch.tensor([row]))
            length, words = int(own.attention_mask.sum()), int((own.target != NO_TOKEN).sum())
            bare = replace(
                own,
                ids=own.ids[:, :length],
                slots=own.slots[:, :length],
                attention_mask=own.attention_mask[:, :length],
                read_at=own.read_at[:, :words],
                target=own.target[:, :words],
                member=torch.tensor([0]),
            )
            parts = gather([loaded(member, reader)])
            alone = Fleet(reader, [member.space]).read(bare, parts)
            torch.testing.assert_close(together.logits[together.row == row], alone.logits, rtol=0, atol=1e-10)


def loaded(member: Member, reader: Backbone) -> Trainable:
    """The parts as a cell saves and loads them; MPT's after its second stage."""
    own = member.trainable
    staged = as_target(member, own.saved(), reader).trainable if "prompt.left" in own.saved() else own
    return restored(staged.saved(), reader, own.positions)


def test_a_selector_reads_the_whole_sentence(reader: Backbone, extra: Path) -> None:
    """E(x) is the mean embedding of all words, whichever of them comes first."""
    members = members_of(method_named("multitask_prompt"), reader, extra, "second", tasks=("ner",))
    selector = members[0].trainable.part(Selector)
    nn.init.normal_(selector.weight, generator=torch.Generator().manual_seed(0))
    batch = Pool([members[0].train], reader.device).batch(torch.zeros(3, dtype=torch.long), torch.arange(3))
    embedded, _ = gather([members[0].trainable]).inserted(reader.embed(batch.ids), reader, batch)
    for row in range(3):
        own = batch.attention_mask[row].bool() & (batch.slots[row] == ORDINARY)
        mean = reader.embed(batch.ids[row : row + 1, own]).mean(dim=1)
        expected = selected_prompts([selector], mean, torch.zeros(1, dtype=torch.long))[0]
        torch.testing.assert_close(embedded[row, batch.slots[row] >= 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_group_of_two_forms_trains_in_company_as_it_does_alone(name: str, reader: Backbone, extra: Path) -> None:
    method = method_named(name)
    assert {method.unit_of(load_task("extra", task, extra)) for task in FORMS} == {"extra"}
    together = train(reader, members_of(method, reader, extra, *GROUPS), method)
    alone = [one for group in GROUPS for one in train(reader, members_of(method, reader, extra, group), method)]
    for first, second in zip(together, alone, strict=True):
        assert_same(first, second)
    if name == "multitask_prompt":  # whose tasks end with the same pool
        for one, other in zip(together[::2], together[1::2], strict=True):
            assert torch.equal(one.saved["selector.pool"], other.saved["selector.pool"])


def gradient_of_what_is_shared(
    method: TrainedMethod, reader: Backbone, extra: Path, tasks: tuple[str, ...] = tuple(FORMS)
) -> Tensor:
    """In the first step of a group of both tasks, some of which train."""
    members = [one for one in members_of(method, reader, extra, "first") if one.identity.partition("-")[2] in tasks]
    parts = members[0].trainable
    shared = parts.part(Selector).pool if Selector.name in parts else parts.part(SoftPrompt).embedding
    built: list[Any] = []

    def build(*given: Any) -> Any:
        built.append(build_optimizer(*given))
        return built[-1]

    with pytest.MonkeyPatch.context() as watching:
        watching.setattr(loop, "build_optimizer", build)
        train_fleet(FleetWork(reader, members, BUDGET.model_copy(update={"steps": 1}), method.settings.recipe, 600))
    (leaf,) = (leaf for leaf in built[0].leaves if leaf.shape in (shared.shape, (1, *shared.shape)))
    return leaf.grad.view_as(shared)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_weight_multiplies_the_gradient_of_its_task(name: str, reader: Backbone, extra: Path) -> None:
    plain, weighed = method_named(name), method_named(name, task_weights={"ner": 2.0})
    of_praise, of_names = (gradient_of_what_is_shared(plain, reader, extra, (task,)) for task in FORMS)
    assert min(of_praise.abs().max(), of_names.abs().max()) > 0
    for method, weight in ((plain, 1.0), (weighed, 2.0)):
        both = gradient_of_what_is_shared(method, reader, extra)
        torch.testing.assert_close(both, of_praise + weight * of_names, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TOGETHER)
def test_one_weight_for_all_tasks_changes_no_answer(name: str, bert: Backbone, extra: Path) -> None:
    """Adafactor divides by the size of the gradient."""
    plain, weighed = method_named(name), method_named(name, task_weights=dict.fromkeys(FORMS, 4.0))
    first, second = (train(bert, members_of(method, bert, extra, "first"), method) for method in (plain, weighed))
    for one, other in zip(first, second, strict=True):
        assert [look.dev_score for look in one.curve] == [look.dev_score for look in other.curve]
        assert [look.train_loss for look in one.curve] == pytest.approx([look.train_loss for look in other.curve])
    assert plain.settings.fixed() != weighed.settings.fixed()  # of which content keys are made


def test_a_weight_of_a_task_that_does_not_run_is_refused() -> None:
    content = profile_content("multitask")
    content["methods"]["multitask_prompt"]["task_weights"] = {"ner": 0.5, "P19": 2.0}
    params = checked(parse_params(yaml.safe_dump(content), "here"), "here")
    assert params.methods["multitask_prompt"]["task_weights"] == {"ner": 0.5, "P19": 2.0}
    content["methods"]["multitask_prompt"]["task_weights"] = {"nerr": 0.5}
    expected = r"task_weights names 'nerr', which is no task of this run; known: P106, .*, ner, qa, rte"
    with pytest.raises(UserError, match=expected):
        checked(parse_params(yaml.safe_dump(content), "here"), "here")
    content["methods"]["multitask_prompt"]["task_weights"] = {"ner": 0.0}
    with pytest.raises(UserError, match=r"task_weights\.ner is 0.0: .*greater than 0"):
        checked(parse_params(yaml.safe_dump(content), "here"), "here")
