"""A new kind of part and a method made of it, in one file of their own, from tuning to predictions for new texts.

Nothing else of the suite knows of them: what a part says of itself is all that the pipeline needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pytest
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.backbones import WORLD, tiny_backbone
from helpers.profiles import fixture_params
from softprompt.backbones.backbone import Backbone
from softprompt.config import BackboneSettings, Budget, Kind, Params, SuiteSettings, TrainedMethodSettings
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.errors import UserError
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.evaluation.prompt_contents import NEAREST
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.train import train_method
from softprompt.inputs.batches import Batch
from softprompt.inputs.label_space import keep_answerable
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.methods.base import Setup
from softprompt.paths import Paths
from softprompt.prompts.part import PARTS, FleetPart, Part
from softprompt.prompts.side_by_side import side_by_side
from softprompt.prompts.soft_prompt import in_slots
from softprompt.prompts.trainable import Trainable
from softprompt.reporting.analysis.scoring import score_table
from softprompt.results import TrainResult
from softprompt.tasks.load import load_task
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import Task, Template
from softprompt.usage.cells import TrainedCell
from softprompt.usage.export import export_adapter
from softprompt.usage.predict import predict

SECTION: dict[str, Any] = {
    "search": {
        "prompt_length": {"low": 2, "high": 4},
        "learning_rate": {"low": 1e-2, "high": 1e-1, "log": True},
    },
    "recipe": {"optimizer": "adam"},
}


class Refrain(Part):
    """One trained vector that stands in all of `length` slots, and a trained number by which logits are multiplied."""

    def __init__(self, vector: Float[Tensor, "D"], sharpness: Float[Tensor, ""], length: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(vector)
        self.sharpness = nn.Parameter(sharpness)
        self.length = length

    @property
    def positions(self) -> int:
        return self.length

    @classmethod
    def restored(cls, saved: Mapping[str, Tensor], backbone: Backbone, positions: int) -> Self:  # noqa: ARG003
        return cls(saved["vector"], saved["sharpness"], positions)

    @classmethod
    def gathered(cls, parts: Sequence[Self | None]) -> FleetPart:
        there = [part for part in parts if part is not None]
        return FleetRefrains(*(side_by_side([getattr(one, name) for one in there]) for name in ("vector", "sharpness")))

    def word_like_vectors(self) -> dict[str, Float[Tensor, "D"]]:
        return {"refrain": self.vector.detach()}


@dataclass(frozen=True)
class FleetRefrains(FleetPart):
    """Those of all members."""

    vectors: Float[Tensor, "F D"]
    sharpness: Float[Tensor, "F"]

    def inserted(
        self,
        embeddings: Float[Tensor, "R T D"],
        backbone: Backbone,  # noqa: ARG002
        batch: Batch,
    ) -> tuple[Float[Tensor, "R T D"], None]:
        return in_slots(self.vectors[batch.member][:, None].expand_as(embeddings), embeddings, batch), None

    def rescored(self, logits: Float[Tensor, "M W"], member: Int[Tensor, "M"]) -> Float[Tensor, "M W"]:
        return logits * self.sharpness[member][:, None]


class RefrainTuning(TrainedMethod):
    """The word `the`, trained and repeated in front of the input."""

    settings_model = TrainedMethodSettings

    def templates(self, task: Task, kind: Kind) -> tuple[Template, ...]:
        return tuple(template.with_prompt_in_front() for template in task.templates("plain", kind))

    def trainable(self, setup: Setup) -> Trainable:
        start = torch.randn(setup.backbone.embedding_size, generator=setup.generator)
        return Trainable(Refrain(start, torch.ones(()), setup.prompt_length))


@pytest.fixture(scope="module")
def registered() -> Iterator[str]:
    """The part and the method have their names for as long as this module's tests run."""
    PARTS.register("refrain")(Refrain)
    METHODS.register("refrain_tuning")(RefrainTuning)
    yield "refrain_tuning"
    del PARTS["refrain"], METHODS["refrain_tuning"]


@dataclass(frozen=True)
class Run:
    """The method trained on two relations and evaluated."""

    params: Params
    backbone: Backbone
    paths: Paths
    result: TrainResult
    trained: TrainedCells

    def evaluated(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.paths.evaluate(self.backbone.name) / name, dtype={"vector": str})


def short_params(name: str) -> Params:
    params = fixture_params()
    return params.model_copy(
        update={
            "run": params.run.model_copy(update={"suites": ("lama",), "untrained": (), "trained": (name,)}),
            "budgets": {"small": Budget(trials=3, steps=12, batch_size=4, eval_every=4, patience=3)},
            "seeds": (0,),
            "device": params.device.model_copy(update={"workers": 1}),
            "methods": {name: SECTION},
        }
    )


@pytest.fixture(scope="module", params=["gpt2", "bert"])
def run(
    request: pytest.FixtureRequest, registered: str, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    paths = Paths(tmp_path_factory.mktemp("run"))
    settings = SuiteSettings(source="embedded", tasks=("P19", "P36"), train_limit=40, test_limit=12)
    prepare_suite("lama", settings, WORLD, paths)
    backbone = tiny_backbone(request.param, prepared)
    backbone.model.float()
    params = short_params(registered)
    result = train_method(params, registered, build_method(registered, SECTION), backbone, paths)
    evaluate_backbone(params, backbone, paths)
    return Run(params, backbone, paths, result, TrainedCells(params, registered, backbone, paths))


def test_it_is_tuned_and_trained(run: Run) -> None:
    assert len(run.result.trials) == 3
    assert {cell.status for cell in run.result.cells} == {"done"}
    assert len({cell.settings["prompt_length"] for cell in run.result.cells}) == 1  # one setting for all of LAMA
    for cell in run.result.cells:
        assert cell.positions == cell.settings["prompt_length"]
        assert cell.parameters_trained == cell.parameters_kept == run.backbone.embedding_size + 1
        saved = run.trained.parts.load(cell.key, cell.parts_sha256)
        assert set(saved) == {"refrain.vector", "refrain.sharpness"}
        assert float(saved["refrain.sharpness"]) != 1.0
        assert cell.best_step in [look.step for look in cell.curve if look.dev_score == cell.dev_score]


def test_restored_cells_score_on_dev_as_in_training(run: Run) -> None:
    for (suite, name), (cell,) in run.trained.cells.items():
        task = load_task(suite, name, run.paths.prepared)
        answers = run.trained.label_space_of(task)
        dev = keep_answerable(answers, load_split(run.paths.suite(suite), name, "dev"))
        (frame,) = run.trained.predict(list(run.trained.requests(ScoredSplit(task, answers, dev, "dev"))))
        assert METRICS[task.metrics[0]](frame) == pytest.approx(cell.dev_score)


def test_its_predictions_are_evaluated_on_test(run: Run) -> None:
    predictions = pd.read_parquet(run.paths.evaluate(run.backbone.name) / "predictions.parquet")
    definitions = {("lama", name): load_task("lama", name, run.paths.prepared) for name in ("P19", "P36")}
    scores = score_table(predictions, definitions)
    assert set(predictions["task"]) == set(scores["task"]) == {"P19", "P36"}
    for score in scores[(scores["metric"] == "p_at_1") & (scores["split"] == "test")].itertuples():
        own = predictions[(predictions["task"] == score.task) & (predictions["split"] == "test")]
        assert score.value == pytest.approx((own["gold"] == own["prediction"]).mean())


def test_its_nearest_words_are_those_of_its_vector(run: Run) -> None:
    rows = run.evaluated("nearest_tokens.csv")
    assert run.evaluated("pool_usage.csv").empty
    for (_, name), (cell,) in run.trained.cells.items():
        own = rows[rows["task"] == name]
        assert own["vector"].tolist() == ["refrain"] * NEAREST
        vector = run.trained.parts.load(cell.key, cell.parts_sha256)["refrain.vector"]
        words = run.backbone.word_embeddings()[: len(run.backbone.tokenizer)]
        best = torch.cosine_similarity(vector[None], words).topk(NEAREST)
        assert own["cosine"].tolist() == pytest.approx(best.values.tolist(), abs=1e-5)


def chosen_cell(run: Run) -> TrainedCell:
    (cell,) = run.trained.cells["lama", "P19"]
    return TrainedCell(cell, load_task("lama", "P19", run.paths.prepared), run.backbone, run.trained)


def test_it_predicts_for_new_texts_as_in_evaluation(run: Run) -> None:
    chosen = chosen_cell(run)
    answers = run.trained.label_space_of(chosen.task)
    examples = keep_answerable(answers, load_split(run.paths.test_suite("lama"), "P19", "test"))
    evaluated = pd.read_parquet(run.paths.evaluate(run.backbone.name) / "predictions.parquet")
    evaluated = evaluated[(evaluated["task"] == "P19") & (evaluated["split"] == "test")].set_index("id")
    predicted = predict(chosen, examples[list(chosen.task.fields)].assign(row=range(len(examples))))
    assert predicted["answer_1"].tolist() == evaluated.loc[examples["id"], "prediction"].tolist()


def test_it_has_no_form_in_peft_and_the_refusal_says_so(run: Run, tmp_path: Path) -> None:
    size = {"million_parameters": 1, "layers": 2, "hidden_size": 16}
    settings = BackboneSettings(source="hub", repo="nobody/model", revision="abc", kind=run.backbone.kind, size=size)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"refrain_tuning on tiny_\w+, lama/P19, .* keeps \(refrain\); `softprompt pr"):
        export_adapter(chosen_cell(run), settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
