"""LPAQA's ensembles against each of their prompts alone."""

from pathlib import Path

import pytest
import torch

from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.errors import UserError
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Pool
from softprompt.inputs.task_data import TaskData
from softprompt.methods import build_method
from softprompt.methods.lpaqa import Lpaqa, different, one_hot_logits
from softprompt.prompts.mixture import Mixture
from softprompt.prompts.trainable import FleetParts, Trainable, gather, restored
from softprompt.tasks.load import load_task
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member

WEIGHTED = {
    "prompts_per_family": 3,
    "search": {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}},
    "recipe": {"optimizer": "adam"},
}
BUDGET = Budget(trials=2, steps=6, batch_size=5, eval_every=2, patience=2)


def lpaqa(**section: object) -> Lpaqa:
    method = build_method("lpaqa", section)
    assert isinstance(method, Lpaqa)
    return method


def data_of(name: str, backbone: Backbone, prepared: Path) -> TaskData:
    return task_data(prepared, backbone, "lama", name)


def member_of(method: Lpaqa, data: TaskData) -> Member:
    (member,) = build_members(method, {data.task.key: data}, [Job("key", "one", data.task.key, 0, {}, 0, "words")])
    return member


def log_probabilities(method: Lpaqa, data: TaskData) -> torch.Tensor:
    """Of every output, each wording on its own: wordings x dev examples x outputs."""
    (template,) = method.templates(data.task, data.backbone.kind)
    by_wording = []
    for text in template.wordings:
        split = data.split("dev", template.model_copy(update={"text": text, "others": ()}), 0)
        numbers = torch.arange(len(split))
        batch = Pool([split], data.backbone.device).batch(torch.zeros_like(numbers), numbers)
        logits = Fleet(data.backbone, [data.label_space.outputs]).read(batch, FleetParts()).logits
        by_wording.append(logits.log_softmax(dim=1))
    return torch.stack(by_wording)


def test_an_ensemble_scores_by_the_weighted_log_probabilities_of_its_prompts(
    backbone: Backbone, prepared: Path
) -> None:
    method = lpaqa(**WEIGHTED)
    tasks = [data_of(name, backbone, prepared) for name in ("P19", "P36")]  # ensembles of different sizes side by side
    generator = torch.Generator().manual_seed(3)
    trainables, splits = [], []
    for data in tasks:
        (template,) = method.templates(data.task, backbone.kind)
        logits = torch.randn(len(template.wordings), generator=generator, dtype=torch.double)
        trainables.append(Trainable(Mixture(logits)))
        splits.append(data.split("dev", template, 0))
    fleet = Fleet(backbone, [data.label_space.outputs for data in tasks])
    answered = fleet.predict(Pool(splits, backbone.device), [0, 1], gather(trainables), 300)
    for data, trainable, answers in zip(tasks, trainables, answered, strict=True):
        logits = trainable.part(Mixture).logits
        weights = logits.exp() / logits.exp().sum()
        scores = sum(weight * alone for weight, alone in zip(weights, log_probabilities(method, data), strict=True))
        target = torch.tensor(data.dev["target"].tolist())
        loss = -(scores.softmax(dim=1)[torch.arange(len(target)), target]).log()
        torch.testing.assert_close(answers.loss, loss.float(), rtol=1e-6, atol=1e-6)
        allowed = scores.masked_fill(~data.label_space.outputs.allowed, float("-inf"))
        assert answers.prediction.tolist() == allowed.argmax(dim=1).tolist()


def test_all_weight_on_one_prompt_uses_it_alone_and_survives_being_saved(bert: Backbone, prepared: Path) -> None:
    method, data = lpaqa(**WEIGHTED), data_of("P19", bert, prepared)
    (template,) = method.templates(data.task, bert.kind)
    logits = one_hot_logits(len(template.wordings), 2, torch.zeros(1, dtype=torch.double))
    saved = Trainable(Mixture(logits)).saved()
    pool = Pool([data.split("dev", template, 0)], bert.device)
    (answers,) = Fleet(bert, [data.label_space.outputs]).predict(pool, [0], gather([restored(saved, bert, 0)]), 300)
    alone = log_probabilities(method, data)[2]
    target = torch.tensor(data.dev["target"].tolist())
    torch.testing.assert_close(answers.loss, -alone[torch.arange(len(target)), target].float(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ensemble", ["average", "top1"])
def test_ensembles_without_descent_weigh_as_they_say(ensemble: str, bert: Backbone, prepared: Path) -> None:
    method, data = lpaqa(ensemble=ensemble, prompts_per_family=3), data_of("P19", bert, prepared)
    member = member_of(method, data)
    (trained,) = method.train(FleetWork(bert, [member], BUDGET, method.settings.recipe, 300, [data]))
    weights = trained.saved["mixture.logits"].softmax(dim=0)
    (template,) = method.templates(data.task, bert.kind)
    if ensemble == "average":
        torch.testing.assert_close(weights, torch.full_like(weights, 1 / len(weights)))
    else:
        right = []
        for text in template.wordings:
            split = data.split("train", template.model_copy(update={"text": text, "others": ()}), 0)
            fleet = Fleet(bert, [data.label_space.outputs])
            (answers,) = fleet.predict(Pool([split], bert.device), [0], FleetParts(), 300)
            right.append((int((answers.prediction == split.target[:, 0]).sum()), -float(answers.loss.mean())))
        assert weights.tolist() == [float(one == max(right)) for one in right]
    assert member.trainable.trained_numbers == 0
    assert (trained.dev_score, len(trained.curve)) == (trained.curve[0].dev_score, 1)
    assert trained.steps == -(-len(data.train) // BUDGET.batch_size)


def test_prompts_that_differ_by_blanks_only_are_used_once() -> None:
    assert different(["a b .", "c", "a b.", "c "]) == ["a b .", "c"]


def test_causal_backbones_are_asked_prompts_that_end_in_the_object(prepared: Path) -> None:
    task = load_task("lama", "P36", prepared)
    (template,) = lpaqa(**WEIGHTED).templates(task, "causal")
    assert all(text.index("{subject}") < text.index("{mask}") for text in template.wordings)
    assert template.text == task.templates("manual", "causal")[0].text


def test_tasks_without_such_prompts_say_so(bert: Backbone, prepared: Path) -> None:
    reason = lpaqa(**WEIGHTED).inapplicable(load_task("superglue", "rte", prepared), bert)
    assert reason == "superglue/rte has no mined or paraphrased prompts that a masked backbone can be asked"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (WEIGHTED | {"ensemble": "average"}, "recipe would do nothing here, where no gradient is descended; remove it"),
        (WEIGHTED | {"search": {}}, "key learning_rate is missing"),
        (WEIGHTED | {"prompts_per_family": 41}, "prompts_per_family is 41: .*less than or equal to 40"),
        (WEIGHTED | {"ensemble": "best"}, "ensemble is 'best': .*'top1', 'average' or 'weighted'"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(section: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        build_method("lpaqa", section)
