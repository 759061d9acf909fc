"""Methods that train tasks together: formulas by hand, shared gradients, counts, groups in company as alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import MultitaskPromptTuningConfig
from peft.tuners.multitask_prompt_tuning import MultitaskPromptEmbedding
from torch import Tensor, nn

from helpers.profiles import fixture_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.errors import UserError
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Batch, Pool
from softprompt.inputs.encoding import ORDINARY
from softprompt.methods import TrainedMethod, build_method
from softprompt.methods.multitask_prompt_mpt import FactoredPrompt, as_target, joined
from softprompt.prompts.selector import Selector
from softprompt.prompts.side_by_side import stacked
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.prompts.trainable import Trainable, gather, restored
from softprompt.results import CurvePoint
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, teams_of
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
TOGETHER = ("multitask_prompt", "multitask_prompt_mpt")
TASKS = ("P19", "P36", "P106")
BUDGET = Budget(trials=2, steps=12, batch_size=5, eval_every=2, patience=2)
GROUPS = {"first": (3, 1e-1), "second": (2, 3e-2)}  # prompt length and learning rate


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def jobs_of(group: str) -> list[Job]:
    length, rate = GROUPS[group]
    return [
        Job(
            key=f"{group}-{task}",
            identity=f"{group}-{task}",
            task=f"lama/{task}",
            seed=0,
            settings={"learning_rate": rate, "prompt_length": length},
            tokens=0,
            reading="label words",
            group=group,
        )
        for task in TASKS
    ]


def members_of(method: TrainedMethod, backbone: Backbone, prepared: Path, *groups: str) -> list[Member]:
    data = {f"lama/{name}": task_data(prepared, backbone, "lama", name) for name in TASKS}
    return build_members(method, data, [job for group in groups for job in jobs_of(group)])


def shared_of(member: Member) -> nn.Parameter:
    parts = member.trainable
    return parts.part(Selector).pool if Selector.name in parts else parts.part(SoftPrompt).embedding


def at_the_end(member: Member, backbone: Backbone) -> Trainable:
    """The parts that a member's cell would save if training had changed nothing, both stages over."""
    own = member.trainable
    return as_target(member, own.saved(), backbone).trainable if SoftPrompt.name in own else own


def losses_of(backbone: Backbone, members: list[Member], owners: list[int], rows: list[int]) -> Tensor:
    fleet = Fleet(backbone, [member.space for member in members])
    pool = Pool([member.train for member in members], backbone.device)
    batch = pool.batch(torch.tensor(owners), torch.tensor(rows))
    return fleet.losses(fleet.read(batch, gather([member.trainable for member in members])))


def train(backbone: Backbone, members: list[Member], method: TrainedMethod) -> list[Trained]:
    return method.train(FleetWork(backbone, members, BUDGET, method.settings.recipe, 600))


def test_a_selector_mixes_each_rows_prompt_by_its_formula(backbone: Backbone, prepared: Path) -> None:
    members = members_of(method_named("multitask_prompt"), backbone, prepared, "first", "second")
    generator = torch.Generator().manual_seed(0)
    for member in members:
        nn.init.normal_(member.trainable.part(Selector).weight, generator=generator)
        nn.init.normal_(member.trainable.part(Selector).bias, generator=generator)
    fleet = Fleet(backbone, [member.space for member in members])
    pool = Pool([member.train for member in members], backbone.device)
    batch = pool.batch(torch.tensor([0, 4, 2, 5]), torch.tensor([0, 1, 2, 3]))
    with torch.no_grad():
        logits = fleet.read(batch, gather([member.trainable for member in members])).logits
        for row in range(4):
            expected = logits_by_hand(backbone, members[int(batch.member[row])], batch, row)
            torch.testing.assert_close(logits[row], expected, rtol=0, atol=1e-10)


def logits_by_hand(backbone: Backbone, member: Member, batch: Batch, row: int) -> Tensor:
    """One row without padding, its prompt made word by word and entry by entry."""
    selector = member.trainable.part(Selector)
    length = int(batch.attention_mask[row].sum())
    ids, slots = batch.ids[row, :length], batch.slots[row, :length]
    table = backbone.model.get_input_embeddings().weight
    words = [table[int(i)] for i, slot in zip(ids, slots, strict=True) if slot == ORDINARY]
    mean = sum(words[1:], words[0]) / len(words)
    scores = [selector.weight[n] @ mean + selector.bias[n] for n in range(len(selector.pool))]
    total = sum(score.exp() for score in scores)
    prompt = sum((score.exp() / total * entry for score, entry in zip(scores, selector.pool, strict=True)))
    vectors = [prompt[int(s)] if s != ORDINARY else table[int(i)] for i, s in zip(ids, slots, strict=True)]  # type: ignore[index]
    hidden = backbone.encode(
        torch.stack(vectors)[None],
        torch.ones(1, length, dtype=torch.long),
        batch.read_at[row : row + 1],
        batch.target[row : row + 1],
    )
    return backbone.project(hidden[0, 0])


def test_a_factored_prompt_is_pefts_formula_for_every_task() -> None:
    sizes = {"num_tasks": 3, "num_ranks": 2, "num_virtual_tokens": 4, "token_dim": 6, "num_transformer_submodules": 1}
    config = MultitaskPromptTuningConfig(task_type="SEQ_2_SEQ_LM", **sizes)
    oracle = MultitaskPromptEmbedding(config, nn.Embedding(9, 6)).double()
    for task in range(3):
        prompt = FactoredPrompt(
            nn.Parameter(oracle.embedding.weight.detach()),
            oracle.prefix_task_cols[task].detach(),
            oracle.prefix_task_rows[task].detach(),
        )
        expected = oracle(torch.arange(4)[None], torch.tensor([task]))[0]
        torch.testing.assert_close(prompt(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", TOGETHER)
def test_the_gradient_of_what_is_shared_is_the_sum_over_tasks(name: str, backbone: Backbone, prepared: Path) -> None:
    members = members_of(method_named(name), backbone, prepared, "first")
    shared = shared_of(members[0])
    assert all(shared_of(member) is shared for member in members)
    owners, rows = [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]
    (together,) = torch.autograd.grad(losses_of(backbone, members, owners, rows).sum(), shared)
    apart = [
        torch.autograd.grad(losses_of(backbone, [member], [0, 0], [0, 1]).sum(), shared_of(member))[0]
        for member in members
    ]
    torch.testing.assert_close(together, sum(apart[1:], apart[0]), rtol=0, atol=1e-12)
    assert together.abs().max() > 0


@pytest.mark.parametrize("name", TOGETHER)
def test_counts_are_the_closed_forms(name: str, bert: Backbone, prepared: Path) -> None:
    method = method_named(name)
    members = members_of(method, bert, prepared, "first")
    length, size, tasks = 3, bert.embedding_size, len(TASKS)
    if name == "multitask_prompt":
        entries = SECTIONS[name]["pool_size"]
        common, own = entries * length * size, entries * size + entries
        saved = common + own
    else:
        rank = SECTIONS[name]["rank"]
        common, own = length * size, (length + size) * rank
        saved = common
    everyone = {parameter for member in members for parameter in member.trainable.parameters()}
    assert sum(parameter.numel() for parameter in everyone) == common + tasks * own
    for member in members:
        assert member.trainable.trained_numbers == common + own
        assert sum(tensor.numel() for tensor in at_the_end(member, bert).saved().values()) == saved


@pytest.mark.parametrize("name", TOGETHER)
def test_what_a_group_shares_is_one_row_at_the_rate_of_its_first(name: str, bert: Backbone, prepared: Path) -> None:
    members = members_of(method_named(name), bert, prepared, "first", "second")
    everyone = {parameter for member in members for parameter in member.trainable.parameters()}
    with stacked([member.trainable for member in members]) as stacks:
        assert sum(sum(stack.sizes) for stack in stacks) == sum(parameter.numel() for parameter in everyone)
        owners = sorted(tuple(stack.owners) for stack in stacks)
    assert owners[0] == (0, 1, 2, 3, 4, 5)
    assert owners[-1] == (0, 3)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_group_trains_in_company_as_it_does_alone(name: str, backbone: Backbone, prepared: Path) -> None:
    method = method_named(name)
    together = train(backbone, members_of(method, backbone, prepared, "first", "second"), method)
    alone = [one for group in GROUPS for one in train(backbone, members_of(method, backbone, prepared, group), method)]
    for first, second in zip(together, alone, strict=True):
        assert first.saved.keys() == second.saved.keys()
        for key in first.saved:
            torch.testing.assert_close(first.saved[key], second.saved[key], rtol=0, atol=1e-8)
        assert first.best_step == second.best_step
        assert [look.dev_score for look in first.curve] == [look.dev_score for look in second.curve]


@pytest.mark.parametrize("name", TOGETHER)
def test_tasks_that_share_learn_otherwise_than_alone(name: str, bert: Backbone, prepared: Path) -> None:
    method = method_named(name)
    together = train(bert, members_of(method, bert, prepared, "first"), method)
    lonely = [replace(member, group="") for member in members_of(method, bert, prepared, "first")[:1]]
    (alone,) = train(bert, lonely, method)
    assert any(not torch.allclose(together[0].saved[key], alone.saved[key]) for key in alone.saved)


def test_a_group_stops_together_at_the_step_with_the_best_mean(bert: Backbone, prepared: Path) -> None:
    method = method_named("multitask_prompt")
    members = members_of(method, bert, prepared, "first", "second")
    trained = train(bert, members, method)
    for team in teams_of(members):
        curves = [trained[index].curve for index in team]
        assert len({len(curve) for curve in curves}) == 1
        means = [
            (sum(look.dev_score for look in looks) / 3, -sum(look.dev_loss for look in looks) / 3, looks[0].step)
            for looks in zip(*curves, strict=True)
        ]
        best = max(means)
        for index, curve in zip(team, curves, strict=True):
            assert trained[index].best_step == best[2]
            assert trained[index].dev_score == next(look.dev_score for look in curve if look.step == best[2])


def test_one_task_whose_loss_runs_away_fails_its_group_and_no_other(bert: Backbone, prepared: Path) -> None:
    method = method_named("multitask_prompt")
    members = members_of(method, bert, prepared, "first", "second")
    with torch.no_grad():
        members[0].trainable.part(Selector).bias.fill_(float("nan"))
    trained = train(bert, members, method)
    assert [bool(one.failure) for one in trained] == [True] * 3 + [False] * 3
    alone = train(bert, members_of(method, bert, prepared, "second"), method)
    for first, second in zip(trained[3:], alone, strict=True):
        torch.testing.assert_close(first.saved["selector.pool"], second.saved["selector.pool"], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_saved_answers_as_what_was_trained(name: str, bert: Backbone, prepared: Path) -> None:
    members = members_of(method_named(name), bert, prepared, "first")
    fleet = Fleet(bert, [member.space for member in members])
    pool = Pool([member.train for member in members], bert.device)
    batch = pool.batch(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0]))
    again = [restored(at_the_end(member, bert).saved(), bert, member.trainable.positions) for member in members]
    with torch.no_grad():
        before = fleet.read(batch, gather([member.trainable for member in members])).logits
        torch.testing.assert_close(fleet.read(batch, gather(again)).logits, before, rtol=0, atol=1e-12)


def test_prompts_start_at_the_scale_of_words(bert: Backbone, prepared: Path) -> None:
    """PEFT's factors around zero would start every prompt at about a hundredth of that."""
    scale = float(bert.word_embeddings().std())
    for member in members_of(method_named("multitask_prompt_mpt"), bert, prepared, "first"):
        prompt = member.trainable.part(FactoredPrompt)
        assert isinstance(prompt, FactoredPrompt)
        torch.testing.assert_close(prompt(), prompt.embedding.detach(), rtol=0.2, atol=0.0)
        assert 0.7 < float(prompt().detach().std()) / scale < 1.3
    for member in members_of(method_named("multitask_prompt"), bert, prepared, "first"):
        selector = member.trainable.part(Selector)
        assert 0.7 < float(selector.pool.detach().mean(dim=0).std()) / scale < 1.3


def test_mpt_divides_its_steps_and_then_parts_its_tasks(bert: Backbone, prepared: Path) -> None:
    method = method_named("multitask_prompt_mpt")
    budget = BUDGET.model_copy(update={"steps": 7, "patience": 9})
    members = members_of(method, bert, prepared, "first")
    work = FleetWork(bert, members, budget, method.settings.recipe, 600)
    trained = method.train(work)
    assert [[look.step for look in one.curve] for one in trained] == [[2, 3, 5, 7]] * 3
    assert [one.steps for one in trained] == [7] * 3
    for one in trained:
        best = max((look.dev_score, -look.dev_loss, look.step) for look in one.curve)
        assert (one.dev_score, one.best_step) == (best[0], best[2]) or one.best_step <= 3  # type: ignore[operator]
        assert one.saved["prompt.vectors"].shape == (3, bert.embedding_size)
    with pytest.raises(UserError, match="two stages; write at least steps: 2"):
        method.train(replace(work, budget=budget.model_copy(update={"steps": 1})))


@pytest.mark.parametrize("second_score", [0.2, 0.5, 0.9])
def test_mpt_keeps_the_better_stage_and_the_later_of_equals(second_score: float) -> None:
    factors = {"embedding": torch.full((2, 3), 2.0), "left": torch.ones(2, 1), "right": torch.full((1, 3), 1.5)}
    look = CurvePoint(step=4, train_loss=1.0, dev_loss=1.0, dev_score=0.5)
    first = Trained({f"prompt.{name}": value for name, value in factors.items()}, 4, 0.5, 1.0, [look], steps=6)
    later = look.model_copy(update={"step": 2, "dev_score": second_score})
    second = Trained({"prompt.vectors": torch.zeros(2, 3)}, 2, second_score, 1.0, [later], steps=3)
    both = joined(first, second)
    assert [point.step for point in both.curve] == [4, 8]
    assert both.steps == 9
    if second_score < 0.5:
        assert (both.best_step, both.dev_score) == (4, 0.5)
        torch.testing.assert_close(both.saved, {"prompt.vectors": torch.full((2, 3), 3.0)})
    else:
        assert (both.best_step, both.dev_score) == (8, second_score)
        torch.testing.assert_close(both.saved, {"prompt.vectors": torch.zeros(2, 3)})
