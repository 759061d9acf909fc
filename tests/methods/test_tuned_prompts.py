"""P-tuning with a tuned backbone: two learning rates, the encoder's size, and prompt and weights restored together."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.backbones import WORLD, tiny_backbone
from helpers.paths import ROOT
from helpers.profiles import fixture_content, fixture_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget, Params, Range, Recipe, SuiteSettings
from softprompt.config.parsing import parse_params
from softprompt.config.profiles import profile_names, profile_text
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.train import train_method
from softprompt.inputs.label_space import keep_answerable
from softprompt.methods import TrainedMethod, build_method
from softprompt.methods.base import fresh_trainable
from softprompt.paths import Paths
from softprompt.prompts.soft_prompt import SoftPrompt
from softprompt.tasks.load import load_task
from softprompt.tasks.metrics import METRICS
from softprompt.training.member import Member
from softprompt.training.optimizers import LoneOptimizer, build_optimizer

METHOD = "p_tuning_tuned"


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, fixture_params().methods[name])
    assert isinstance(method, TrainedMethod)
    return method


def member(backbone: Backbone, prepared: Path, length: int = 3) -> Member:
    method, task = method_named(METHOD), load_task("superglue", "rte", prepared)
    data = task_data(prepared, backbone, "superglue", "rte")
    template = method.templates(task, backbone.kind)[0]
    return Member(
        identity="member",
        space=data.label_space.outputs,
        learning_rate=1e-3,
        train=data.split("train", template, length),
        dev=data.split("dev", template, length),
        dev_score=lambda _: 0.0,
        trainable=fresh_trainable(method, task, backbone, length, "member"),
    )


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("length", [1, 5])
def test_the_wide_encoder_has_as_many_parameters_as_the_few_shot_code(size: int, length: int) -> None:
    with torch.device("meta"):
        encoder = SoftPrompt(torch.empty(length, size), "wide_lstm")
    trained = sum(parameter.numel() for parameter in encoder.parameters())
    assert trained == length * size + 43 * size**2 + 34 * size
    assert (size, length) != (128, 1) or trained == 708_992


def test_the_encoder_is_wide_where_the_few_shot_code_asks_and_narrow_on_lama(bert: Backbone, prepared: Path) -> None:
    method, widths = method_named(METHOD), {}
    for suite, name in (("superglue", "rte"), ("lama", "P19")):
        prompt = fresh_trainable(method, load_task(suite, name, prepared), bert, 2, "member").part(SoftPrompt)
        assert prompt.lstm is not None
        widths[suite] = prompt.lstm.hidden_size
    assert widths == {"superglue": bert.embedding_size, "lama": bert.embedding_size // 2}


def test_one_step_moves_prompt_and_backbone_each_at_its_own_rate(backbone: Backbone, prepared: Path) -> None:
    """Adam's first step is rate x gradient / (|gradient| + eps), whatever the betas; AdamW shrinks matrices before."""
    one = member(backbone, prepared)
    rate, decay, steps = 1e-5, 0.1, 4
    one.backbone_learning_rate = rate
    recipe = Recipe(optimizer="adamw", schedule="linear", backbone_weight_decay=decay)
    optimizer = lone_optimizer(one, recipe, steps)
    generator = torch.Generator().manual_seed(0)
    before = {name: value.detach().clone() for name, value in one.trainable.named_parameters()}
    for parameter in one.trainable.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)
    optimizer.step(1)
    for name, parameter in one.trainable.named_parameters():
        assert parameter.grad is not None
        of_backbone = name.startswith("weights.")
        rate_here = rate if of_backbone else one.learning_rate
        shrunk = before[name] * (1 - rate_here * (decay if of_backbone and parameter.ndim > 1 else 0))
        expected = shrunk - rate_here * parameter.grad / (parameter.grad.abs() + 1e-8)
        tolerance = 1e-12 if parameter.dtype == torch.float64 else 1e-6
        torch.testing.assert_close(parameter.detach(), expected, rtol=0, atol=tolerance, msg=name)
    optimizer.step(2)
    rates = sorted({group["lr"] for group in optimizer.optimizer.param_groups})
    assert rates == pytest.approx([rate * (1 - 1 / steps), one.learning_rate * (1 - 1 / steps)])


def test_without_a_rate_of_its_own_the_backbone_trains_at_the_searched_one(bert: Backbone, prepared: Path) -> None:
    optimizer = lone_optimizer(member(bert, prepared), Recipe(optimizer="adamw"), 4)
    assert {group["rate"] for group in optimizer.optimizer.param_groups} == {1e-3}


def lone_optimizer(one: Member, recipe: Recipe, steps: int) -> LoneOptimizer:
    budget = Budget(trials=2, steps=steps, batch_size=8, eval_every=steps, patience=1)
    optimizer = build_optimizer([one], [], [[0]], recipe, budget)
    assert isinstance(optimizer, LoneOptimizer)
    return optimizer


def embedded(tmp_path: Path, change: dict[str, Any]) -> Path:
    content = fixture_content()
    for name, settings in change.items():
        recipe = content["methods"][name]["recipe"] | settings.get("recipe", {})
        content["methods"][name] |= {**settings, "recipe": recipe}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("profile", profile_names(ROOT / "profiles"))
def test_every_profile_searches_the_backbones_rate_on_a_log_scale_among_fine_tunings(profile: str) -> None:
    methods = parse_params(profile_text(profile, ROOT / "profiles"), profile).methods
    rate = build_method(METHOD, methods[METHOD]).settings.search["backbone_learning_rate"]
    fine = build_method("fine_tuning", methods["fine_tuning"]).settings.search["learning_rate"]
    assert isinstance(rate, Range)
    assert isinstance(fine, Range)
    assert rate.log
    assert rate.low < fine.high
    assert fine.low < rate.high


def test_a_backbone_rate_where_the_backbone_is_frozen_is_refused(tmp_path: Path) -> None:
    path = embedded(tmp_path, {"p_tuning": {"backbone_learning_rate": 1e-5}})
    with pytest.raises(UserError, match=r"methods.p_tuning.backbone_learning_rate: p_tuning leaves the backbone"):
        load_checked_params(path)


def test_a_backbone_decay_without_its_rate_is_refused(tmp_path: Path) -> None:
    path = embedded(tmp_path, {"fine_tuning": {"recipe": {"backbone_weight_decay": 0.1}}})
    with pytest.raises(UserError, match=r"methods.fine_tuning: .*backbone_weight_decay needs a backbone_learning_r"):
        load_checked_params(path)


def short_params(name: str, backbone: Backbone) -> Params:
    params = fixture_params()
    run = params.run.model_copy(update={"suites": ("fewglue",), "untrained": (), "trained": (name,)})
    short = Budget(trials=2, steps=12, batch_size=4, eval_every=4, patience=3)
    search = params.methods[name]["search"] | {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}}
    section = {**params.methods[name], "paper": None, "search": search}
    return params.model_copy(
        update={
            "run": run,
            "budgets": {"small": short},
            "seeds": (0,),
            "device": params.device.model_copy(update={"workers": 1}),
            "methods": {**params.methods, name: section},
            "backbones": {backbone.name: params.backbones["tiny_bert"]},
        }
    )


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of FewGLUE's RTE in the small world, with unlabelled texts."""
    paths = Paths(tmp_path_factory.mktemp("few"))
    prepare_suite("fewglue", SuiteSettings(source="embedded", tasks=("rte",), test_limit=10), WORLD, paths)
    return paths.prepared


@pytest.mark.parametrize("name", [METHOD, "pet", "ipet"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_restored_cell_answers_as_it_did_at_its_best_look_on_dev(
    name: str, kind: str, prepared: Path, few: Path, tmp_path: Path
) -> None:
    backbone = tiny_backbone(kind, prepared)
    backbone = backbone.with_model(backbone.model.float())  # as heads are
    folder = tmp_path / "data" / "prepared" / "fewglue"
    shutil.copytree(few / "fewglue", folder)
    params, paths = short_params(name, backbone), Paths(tmp_path)
    result = train_method(params, name, build_method(name, params.methods[name]), backbone, paths)
    assert {cell.status for cell in result.cells} == {"done"}, [cell.reason for cell in result.cells]
    trained = TrainedCells(params, name, backbone, paths)
    for (suite, task_name), cells in trained.cells.items():
        task = load_task(suite, task_name, paths.prepared)
        answers = trained.label_space_of(task)
        dev = keep_answerable(answers, load_split(folder, task_name, "dev"))
        requests = list(trained.requests(ScoredSplit(task, answers, dev, "dev")))
        for cell, frame in zip(cells, trained.predict(requests), strict=True):
            assert METRICS[task.metrics[0]](frame) == pytest.approx(cell.dev_score), (task.key, cell.seed)
            best = [look.dev_score for look in cell.curve if look.step == cell.best_step]
            assert best == [cell.dev_score]
            weights = sum(parameter.numel() for parameter in backbone.model.parameters())
            length = cell.settings.get("prompt_length", 0)
            assert isinstance(length, int)
            head = (backbone.hidden_size + 1) * len(task.labels) if name != METHOD else 0
            assert cell.parameters_kept == weights + length * backbone.embedding_size + head
