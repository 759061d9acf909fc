"""Rows counted for members against rows counted in the model itself, for every trained method."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from helpers.profiles import fixture_params
from helpers.task_data import task_data, task_of
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.forward import GivenStates
from softprompt.config import Budget
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.methods.autoprompt import label_search_batches
from softprompt.training.loop import FleetWork
from softprompt.training.member import Member, Trained
from softprompt.training.patterns import WEIGHING_ROWS, Ensemble
from softprompt.training.rows import RowCounter, Rows

SECTIONS = fixture_params().methods
TRAINED = sorted(name for name, method in METHODS.items() if issubclass(method, TrainedMethod))
BUDGET = Budget(trials=2, steps=13, batch_size=5, eval_every=4, patience=2)
LAMA = [("lama", "P19"), ("lama", "P36"), ("lama", "P19")]
SUPERGLUE = [("superglue", "rte"), ("superglue", "cb"), ("superglue", "rte")]
LENGTHS, RATES = (5, 2, 3), (1e-2, 3e-3, 2e-2)


@pytest.fixture(autouse=True)
def no_look_for_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is a pass of its own, and a member of nobody."""
    monkeypatch.setattr(Backbone, "drops_out", False)


@contextmanager
def counting(backbone: Backbone) -> Iterator[Counter[str]]:
    """Rows of the states that leave the model, and of the gradients that come back to them; copies count too."""
    counted: Counter[str] = Counter()

    def backward(gradient: Tensor) -> None:
        counted["backward"] += len(gradient)

    def forward(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, GivenStates):  # the head by itself
            return
        states = output.last_hidden_state  # type: ignore[attr-defined]
        counted["forward"] += len(states)
        if states.requires_grad:
            states.register_hook(backward)

    model = backbone.model
    body = model.get_decoder() if model.config.is_encoder_decoder else model.base_model
    handle = body.register_forward_hook(forward)
    try:
        yield counted
    finally:
        handle.remove()


def method_named(name: str, **changed: object) -> TrainedMethod:
    method = build_method(name, {**SECTIONS[name], **changed})
    assert isinstance(method, TrainedMethod)
    return method


def data_of(method: TrainedMethod, backbone: Backbone, prepared: Path, suite: str) -> list[TaskData]:
    """Three members' tasks that the method takes part in; none where it takes part in none of the suite."""
    keys = LAMA if suite == "lama" else SUPERGLUE
    tasks = {key: task_of(*key, prepared) for key in keys}
    if any(method.inapplicable(task, backbone) for task in tasks.values()):
        return []
    return [task_data(prepared, backbone, *key, head=method.uses_head(tasks[key])) for key in keys]


def members_of(method: TrainedMethod, data: Sequence[TaskData]) -> list[Member]:
    settings = method.settings
    jobs = [
        Job(
            key=str(index),
            identity=f"member-{index}",
            task=own.task.key,
            seed=index,
            settings={
                **({"learning_rate": rate} if settings.descends else {}),
                **({"prompt_length": length} if settings.prompt_length else {}),
            },
            tokens=0,
            reading="",
        )
        for index, (own, length, rate) in enumerate(zip(data, LENGTHS, RATES, strict=True))
    ]
    members = build_members(method, {own.task.key: own for own in data}, jobs)
    for member in members:
        member.trainable.double()
    return members


def train(method: TrainedMethod, members: Sequence[Member], data: Sequence[TaskData]) -> list[Trained]:
    backbone = members[0].trainable.applied_to(data[0].backbone)
    return method.train(FleetWork(backbone, members, BUDGET, method.settings.recipe, 600, data))


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(("kind", "suite"), [("bert", "lama"), ("bert", "superglue"), ("gpt2", "lama"), ("t5", "lama")])
def test_every_row_that_passes_through_the_backbone_is_counted(
    name: str, suite: str, kind: str, prepared: Path, request: pytest.FixtureRequest
) -> None:
    method = method_named(name)
    backbone = method.prepared_backbone(request.getfixturevalue(kind))
    data = data_of(method, backbone, prepared, suite)
    if not data:
        pytest.skip(f"{name} does not meet {suite} on {kind}")
    alone = []
    for index in range(len(data)):
        with counting(backbone) as counted:
            (one,) = train(method, [members_of(method, data)[index]], [data[index]])
        assert (one.rows.forward, one.rows.backward) == (counted["forward"], counted["backward"])
        assert 0 < one.rows.inference < one.rows.forward or not method.settings.descends
        alone.append(one.rows)
    if method.state == "tuned":
        return
    with counting(backbone) as counted:
        together = train(method, members_of(method, data), data)
    assert [one.rows for one in together] == alone
    assert sum(rows.forward for rows in alone) == counted["forward"]
    assert sum(rows.backward for rows in alone) == counted["backward"]


@pytest.mark.parametrize(
    ("name", "passes", "backward"), [("p_tuning", 1, 1), ("prompt_pool_topk", 2, 1), ("lpaqa", 1, 0)]
)
def test_the_common_loop_passes_its_batches_and_answers_dev(
    name: str, passes: int, backward: int, bert: Backbone, prepared: Path
) -> None:
    """A pool with keys asks every row twice. Weights of wordings are learnt behind the backbone, which no gradient
    enters; each wording is a row."""
    method = method_named(name)
    data = data_of(method, bert, prepared, "lama")[:1]
    member = members_of(method, data * 3)[0]
    (trained,) = train(method, [member], data)
    wordings = len(method.templates(data[0].task, bert.kind)[0].wordings)
    assert name != "lpaqa" or wordings > 1
    batches = trained.steps * BUDGET.batch_size * wordings
    answers = len(trained.curve) * len(data[0].dev) * wordings
    assert trained.rows == Rows(passes * (batches + answers), backward * batches, passes * answers)


@pytest.mark.parametrize("ensemble", ["average", "top1"])
def test_wordings_without_descent_are_only_answered(ensemble: str, bert: Backbone, prepared: Path) -> None:
    section = {key: value for key, value in SECTIONS["lpaqa"].items() if key not in ("search", "recipe", "paper")}
    method = build_method("lpaqa", {**section, "ensemble": ensemble})
    assert isinstance(method, TrainedMethod)
    data = data_of(method, bert, prepared, "lama")[:1]
    with counting(bert) as counted:
        (trained,) = train(method, [members_of(method, data * 3)[0]], data)
    wordings = len(method.templates(data[0].task, bert.kind)[0].wordings)
    passed = wordings * (len(data[0].train) * (2 if ensemble == "top1" else 1) + len(data[0].dev))
    assert trained.rows == Rows(passed, 0, passed)
    assert counted == {"forward": passed}


def test_a_trigger_search_counts_candidates_and_label_words(bert: Backbone, prepared: Path) -> None:
    """A gradient a round, everything else of it forward only."""
    method = method_named("autoprompt")
    data = data_of(method, bert, prepared, "superglue")
    members = members_of(method, data)
    trained = train(method, members, data)
    searched = [len(list(label_search_batches(member, BUDGET))) for member in members]
    assert min(searched) > 0
    for one, own, before in zip(trained, data, searched, strict=True):
        answered = len(one.curve) * len(own.dev)
        assert (one.rows.inference, one.rows.forward) == (answered, one.steps * BUDGET.batch_size + answered)
        rounds = one.rows.backward // BUDGET.batch_size
        assert 0 < rounds < one.steps - before


def test_an_ensemble_counts_its_models_its_soft_labels_and_its_classifier(bert: Backbone, prepared: Path) -> None:
    method = method_named("pet")
    data = data_of(method, bert, prepared, "superglue")[:1]
    (trained,) = train(method, members_of(method, data * 3)[:1], data)
    work = FleetWork(bert, members_of(method, data * 3)[:1], BUDGET, method.settings.recipe, 600, data)
    ensemble = Ensemble(work, generations=1)
    models, weighed = len(ensemble.pairs), min(WEIGHING_ROWS, len(data[0].train))
    assert ensemble.rows == Rows(models * weighed, 0, models * weighed)
    said = models * (weighed + len(ensemble.texts) + 1)  # a model's own dev is one row, once
    classifier = len([look for look in trained.curve if look.step > models * ensemble.plan.model_steps])
    answered = said + classifier * len(data[0].dev)
    batches = trained.steps * BUDGET.batch_size
    assert trained.rows == Rows(batches + answered, batches, answered)


def test_rows_add_up() -> None:
    assert Rows(5, 3, 1) + Rows(10, 20, 30) == Rows(15, 23, 31)
    counter = RowCounter(3, torch.device("cpu"))
    counter.count(torch.tensor([0, 2, 2]), passes=2, backward=True, inference=False)
    counter.count(torch.tensor([0]), passes=1, backward=False, inference=True)
    assert counter.rows() == [Rows(3, 1, 1), Rows(), Rows(4, 2, 0)]
