"""Members are the same however their rows are passed, and where device memory runs out, in float64."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from helpers.backbones import dropping_backbone
from helpers.candidate_files import prepared_texts
from helpers.profiles import fixture_params
from helpers.short_memory import run_out, with_room_for
from helpers.task_data import task_data, task_of
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Recipe
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members, train_members
from softprompt.inputs.batches import Pool, runs
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.methods.shared.tasks_together import TasksTogether
from softprompt.prompts.trainable import FleetParts
from softprompt.training import alike
from softprompt.training.fitting import PassSize
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork
from softprompt.training.member import Trained

SECTIONS = fixture_params().methods
BUDGET = Budget(trials=2, steps=4, batch_size=5, eval_every=2, patience=2)
NOISY = Recipe(optimizer="adamw", clip_norm=1.0, backbone_dropout=True)
SETTINGS = [("lama/P19", 4, 1e-2), ("lama/P36", 2, 3e-3), ("lama/P19", 3, 2e-2)]  # task, length, rate
ROOM = 4  # rows of a pass: less than a member's batch has
DESCENDING = sorted(
    name
    for name, one in METHODS.items()
    if issubclass(one, TrainedMethod) and one.state == "frozen" and build_method(name, SECTIONS[name]).settings.descends
)


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def jobs_of(method: TrainedMethod) -> list[Job]:
    """Where tasks train together, the first two of them are one group, which is never torn."""
    descends = method.settings.descends
    return [
        Job(
            key=str(number),
            identity=f"member-{number}",
            task=task,
            seed=number,
            settings={"prompt_length": 2 if method.together else length}
            | ({"learning_rate": rate} if descends else {}),
            tokens=0,
            reading="label words",
            group=("one", "one", "two")[number] if method.together else "",
        )
        for number, (task, length, rate) in enumerate(SETTINGS)
    ]


def data_of(method: TrainedMethod, backbone: Backbone, prepared: Path) -> dict[str, TaskData]:
    head = method.uses_head(task_of("lama", "P19", prepared))
    names = {task for task, *_ in SETTINGS}
    return {name: task_data(prepared, backbone, *name.split("/"), head=head) for name in names}


def train(method: TrainedMethod, backbone: Backbone, prepared: Path, recipe: Recipe = NOISY) -> list[Trained]:
    data = data_of(method, backbone, prepared)
    members = build_members(method, data, jobs_of(method))
    own = [data[job.task] for job in jobs_of(method)]
    return method.train(FleetWork(backbone, members, BUDGET, recipe, 600, own))


def assert_same(some: list[Trained], others: list[Trained]) -> None:
    for one, other in zip(some, others, strict=True):
        assert (one.failure, one.best_step, one.rows) == ("", other.best_step, other.rows)
        assert [point.dev_score for point in one.curve] == [point.dev_score for point in other.curve]
        for point, expected in zip(one.curve, other.curve, strict=True):
            assert point.train_loss == pytest.approx(expected.train_loss, abs=1e-6)  # summed in float32
        assert one.saved.keys() == other.saved.keys()
        for name, saved in other.saved.items():
            torch.testing.assert_close(one.saved[name], saved, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", DESCENDING)
def test_micro_batches_train_as_the_whole_batch_does(
    name: str, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With noise, whose rows have to know their place among all of their member's."""
    method, backbone = method_named(name), dropping_backbone("bert", prepared)
    whole = train(method, backbone, prepared)
    longest = [ROOM * 9, 3]  # rows of a pass change with their length; at last one example each
    for most in longest:
        monkeypatch.setattr(alike, "tokens_to_train", lambda *_, most=most: most)
        passed = with_room_for(10**6, monkeypatch, backward=False)
        assert_same(train(method, backbone, prepared), whole)
        assert len(passed) > 3 * BUDGET.steps


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", DESCENDING)
def test_members_go_on_unchanged_where_memory_runs_out(
    name: str, backward: bool, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, backbone = method_named(name), dropping_backbone("gpt2", prepared)
    whole = train(method, backbone, prepared)
    members = build_members(method, data_of(method, backbone, prepared), jobs_of(method))
    room = max(ROOM, *(int(member.train.counts.max()) for member in members))  # an example is read at once
    passed = with_room_for(room, monkeypatch, backward=backward)
    assert_same(train(method, backbone, prepared), whole)
    assert backward or max(passed) <= room


@pytest.mark.parametrize("task", ["copa", "record", "wsc"])
def test_candidates_of_an_example_stay_together(
    task: str, gpt2: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = task_data(prepared_texts(tmp_path), gpt2, "superglue", task)
    job = Job("0", "member", data.task.key, 0, {"learning_rate": 1e-2, "prompt_length": 3}, 0, "words")
    method = method_named("p_tuning")

    def trained() -> list[Trained]:
        return train_members(method, {data.task.key: data}, [job], BUDGET, 600)[1]

    whole = trained()
    passed = with_room_for(3, monkeypatch, backward=False)
    assert_same(trained(), whole)
    assert max(passed) in (2, 3)


def test_an_example_that_does_not_fit_is_no_endless_loop(
    gpt2: Backbone, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_room_for(0, monkeypatch, backward=False)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        train(method_named("prompt_tuning"), gpt2, prepared)


def test_predictions_are_the_same_in_smaller_passes(
    bert: Backbone, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where memory runs out behind the pass, and no row is counted twice."""
    data = task_data(prepared, bert, "lama", "P19")
    template = data.task.templates("manual", bert.kind)[0]
    pool, spaces = Pool([data.split("dev", template, 0)] * 2, bert.device), [data.label_space.outputs] * 2

    def predicted() -> tuple[Fleet, list[torch.Tensor]]:
        fleet = Fleet(bert, spaces)
        answered = fleet.predict(pool, [0, 1], FleetParts(), 10**6)
        return fleet, [values for one in answered for values in (one.prediction, one.gold_rank, one.loss.double())]

    fleet, whole = predicted()
    losses: Callable[..., torch.Tensor] = Fleet.losses
    monkeypatch.setattr(Fleet, "losses", lambda own, one: run_out() if len(one.row) > 7 else losses(own, one))
    passed = with_room_for(11, monkeypatch, backward=False)
    smaller, parts = predicted()
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)
    assert smaller.rows() == fleet.rows()
    assert passed[-1] <= 7
    assert sum(size > 7 for size in passed) <= 2  # once it ran out, all passes are smaller


@pytest.mark.parametrize("name", ["p_tuning", "autoprompt", "multitask_prompt"])
def test_a_fleet_without_room_trains_in_halves(
    name: str, bert: Backbone, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory runs out for what members have of their own, or in a search that passes all rows at once."""
    method = method_named(name)
    data, jobs = data_of(method, bert, prepared), jobs_of(method)
    budget = BUDGET.model_copy(update={"steps": 12})
    members, whole, spent = train_members(method, data, jobs, budget, 600)
    begin: Callable[..., None] = Fleet.__init__
    allowed = 2 if method.together else 1
    monkeypatch.setattr(
        Fleet, "__init__", lambda own, *given: run_out() if len(given[1]) > allowed else begin(own, *given)
    )
    halved, trained, _ = train_members(method, data, jobs, budget, 600)
    assert_same(trained, whole)
    assert [one.identity for one in halved] == [one.identity for one in members] == [job.identity for job in jobs]
    assert spent.seconds > 0
    assert issubclass(type(method), TasksTogether) == method.together
    monkeypatch.setattr(Fleet, "__init__", run_out)
    with pytest.raises(torch.OutOfMemoryError):
        train_members(method, data, jobs, budget, 600)


def test_runs_hold_whole_examples_in_their_order() -> None:
    counts = [2, 2, 5, 1, 1, 1]
    assert [(one.start, one.stop, rows.start, rows.stop) for one, rows in runs(counts, 4)] == [
        (0, 2, 0, 4), (2, 3, 4, 9), (3, 6, 9, 12),
    ]  # fmt: skip
    assert [rows for _, rows in runs(counts, 100)] == [slice(0, 12)]


def test_a_size_is_halved_for_good_and_only_where_memory_ran_out() -> None:
    size, asked = PassSize(), []

    def work(limit: int) -> int:
        asked.append(size.of(12))
        return run_out() or 0 if asked[-1] > limit else asked[-1]

    assert [size.fitting(lambda: work(12)), size.fitting(lambda: work(4)), size.fitting(lambda: work(4))] == [12, 3, 3]
    assert asked == [12, 12, 6, 3, 3]
    with pytest.raises(ZeroDivisionError):
        size.fitting(lambda: 1 // 0)
