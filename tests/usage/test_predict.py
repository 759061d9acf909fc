"""Predictions for new texts: the answers that evaluation would give, with probabilities worked out anew."""

import copy
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from helpers.finished_cells import all_methods, finished_cell, paths_with
from helpers.profiles import listed
from softprompt import __main__
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params, SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.errors import UserError
from softprompt.evaluation.trained_cells import ScoredSplit, TrainedCells
from softprompt.experiments.train import train_method
from softprompt.inputs.label_space import keep_answerable
from softprompt.methods import METHODS, build_method
from softprompt.paths import Paths
from softprompt.prompts.trainable import Trainable
from softprompt.tasks.load import load_task
from softprompt.usage.cells import TrainedCell, find_cell, load_cell
from softprompt.usage.inputs import read_inputs
from softprompt.usage.predict import predict, render_predictions

WORLD = WorldSettings(subjects=24)
TASKS = {"lama": ("P19",), "superglue": ("rte",)}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A working copy with one relation and one task."""
    paths = Paths(tmp_path_factory.mktemp("copy"))
    for suite, tasks in TASKS.items():
        settings = SuiteSettings(source="embedded", tasks=tasks, train_limit=40, test_limit=12)
        prepare_suite(suite, settings, WORLD, paths)  # type: ignore[arg-type]
    return paths


def small(params: Params) -> Params:
    """Both suites, one seed, next to no training."""
    budget = params.budgets["smoke"].model_copy(update={"steps": 8, "eval_every": 4, "batch_size": 4})
    update = {
        "run": params.run.model_copy(update={"suites": tuple(TASKS), **listed(params.methods)}),
        "seeds": (0,),
        "budget": "smoke",
        "budgets": {"smoke": budget},
        "device": params.device.model_copy(update={"workers": 1}),
    }
    return params.model_copy(update=update)


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_every_method_predicts_as_in_evaluation(
    name: str, kind: str, paths: Paths, request: pytest.FixtureRequest
) -> None:
    wide: Backbone = request.getfixturevalue(kind)
    backbone = wide.with_model(copy.deepcopy(wide.model).float())
    params = small(all_methods())
    train_method(params, name, build_method(name, params.methods[name]), backbone, paths)
    trained = TrainedCells(params, name, backbone, paths)
    for (suite, task_name), cells in trained.cells.items():
        task = load_task(suite, task_name, paths.prepared)
        answers = trained.label_space_of(task)
        examples = keep_answerable(answers, load_split(paths.test_suite(suite), task_name, "test"))
        scored = ScoredSplit(task, answers, examples, "test")
        (evaluated,) = trained.predict([trained.first_request(scored, cells[0])])
        inputs = examples[list(task.fields)].assign(row=range(len(examples)))
        predicted = predict(TrainedCell(cells[0], task, backbone, trained), inputs)
        assert predicted["answer_1"].tolist() == evaluated["prediction"].tolist()
        shares = predicted.filter(like="probability_").fillna(0.0).to_numpy(dtype=float)
        assert (shares[:, :-1] >= shares[:, 1:]).all()
        if task.labels:
            assert shares.sum(axis=1) == pytest.approx(1.0)


def test_the_likeliest_tokens_are_those_of_the_library(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    template = next(
        one
        for one in json.loads((prepared / "lama/P19/templates.json").read_text())["templates"]
        if one["text"].partition("{mask}")[0].strip().count("{subject}")
    )
    paths = paths_with(prepared, tmp_path)
    chosen = finished_cell("manual", gpt2, "lama/P19", template["id"], Trainable(), paths, all_methods())
    inputs = read_inputs(chosen.task, None, ["Ann met Bob", "Rome"])
    predicted = predict(chosen, inputs)
    allowed = chosen.trained.label_space_of(chosen.task).outputs.allowed
    for row, subject in enumerate(["Ann met Bob", "Rome"]):
        text = template["text"].partition("{mask}")[0].rstrip().replace("{subject}", subject)
        with torch.no_grad():
            logits = gpt2.model(**gpt2.tokenizer(text, return_tensors="pt")).logits[0, -1]
        probabilities = logits[allowed].softmax(dim=0)
        best = probabilities.topk(5)
        words = [gpt2.tokenizer.decode([int(allowed.nonzero()[index])]).strip() for index in best.indices]
        assert [predicted[f"answer_{place}"][row] for place in range(1, 6)] == words
        shares = [predicted[f"probability_{place}"][row] for place in range(1, 6)]
        assert shares == pytest.approx(best.values.tolist(), abs=1e-6)


def test_a_majority_answers_with_the_shares_of_the_train_split(bert: Backbone, prepared: Path, tmp_path: Path) -> None:
    paths = paths_with(prepared, tmp_path)
    chosen = finished_cell("majority", bert, "superglue/rte", "", Trainable(), paths, all_methods())
    predicted = predict(chosen, read_inputs(chosen.task, None, ["premise=It rains.", "hypothesis=It is wet."]))
    labels = load_split(prepared / "superglue", "rte", "train")["label"]
    assert predicted["probability_1"].tolist() == [pytest.approx((labels == predicted["answer_1"][0]).mean())]
    assert "majority on tiny_bert, superglue/rte, seed 0, template none" in render_predictions(chosen, predicted)


COPA = {"premise": "The man broke his toe.", "question": "cause", "choice1": "He got a hole.", "choice2": "He fell."}


def test_candidates_have_probabilities_among_each_other(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    paths = paths_with(prepared, tmp_path)
    chosen = finished_cell("manual_best", gpt2, "superglue/copa", "cloze", Trainable(), paths, all_methods())
    predicted = predict(chosen, read_inputs(chosen.task, None, [f"{name}={text}" for name, text in COPA.items()]))
    scores = {}
    for label, text in (("choice1", " he got a hole"), ("choice2", " he fell")):
        given = gpt2.tokenizer("The man broke his toe because")["input_ids"]
        answer = gpt2.tokenizer(text)["input_ids"]
        with torch.no_grad():
            logits = gpt2.model(torch.tensor([given + answer])).logits[0].log_softmax(dim=1)
        each = [float(logits[len(given) - 1 + place, token]) for place, token in enumerate(answer)]
        scores[label] = sum(each) / len(each)
    first, second = torch.tensor(list(scores.values())).softmax(dim=0).sort(descending=True).values.tolist()
    assert predicted["answer_1"].tolist() == [max(scores, key=lambda label: scores[label])]
    assert predicted[["probability_1", "probability_2"]].iloc[0].tolist() == pytest.approx([first, second], abs=1e-6)


def wsc_file(folder: Path) -> Path:
    target = {"span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 3}
    rows = [{"text": "Ann said that she slept.", "target": target}]
    path = folder / "wsc.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_generated_answer_has_its_tokens_likelihood(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    paths = paths_with(prepared, tmp_path)
    chosen = finished_cell("manual_best", gpt2, "superglue/wsc", "pet-0", Trainable(), paths, all_methods())
    predicted = predict(chosen, read_inputs(chosen.task, wsc_file(tmp_path), []))
    given = gpt2.tokenizer("Ann said that *she* slept. The pronoun '*she*' refers to")["input_ids"]
    answer = gpt2.tokenizer(" Ann")["input_ids"]
    with torch.no_grad():
        logits = gpt2.model(torch.tensor([given + answer])).logits[0].log_softmax(dim=1)
    each = torch.stack([logits[len(given) - 1 + place, token] for place, token in enumerate(answer)])
    assert predicted["probability_1"][0] == pytest.approx(float(each.mean().exp()), abs=1e-6)
    assert predicted["answer_1"].tolist() == ["false"]
    assert "answer_2" not in predicted


def cell_flags(command: str, task: str = "lama/P19", seed: str = "0", method: str = "prompt_tuning") -> list[str]:
    return [command, "--method", method, "--backbone", "tiny_bert", "--task", task, "--seed", seed]


def test_the_commands_print_a_table_and_write_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([*cell_flags("predict"), "Ann | Bob", "Rome"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "prompt_tuning on tiny_bert, lama/P19, seed 0, template prompt+plain"
    assert table[4].startswith("| 1 | Ann \\| Bob | ")
    assert [line.replace("\\|", "").count("|") for line in table[2:]] == [8] * 4
    (project / "subjects.txt").write_text("Ann\n\nRome\n")
    assert __main__.main([*cell_flags("predict"), "--file", "subjects.txt", "--out", "answers.csv"]) == 0
    written = pd.read_csv(project / "answers.csv")
    assert written["row"].tolist() == [1, 3]
    assert list(written.columns[:4]) == ["row", "subject", "answer_1", "probability_1"]
    assert __main__.main([*cell_flags("export"), "--out", "adapter"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "adapter/README.md",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            [*cell_flags("predict", seed="7"), "Ann"],
            "no cell of --task lama/P19 --seed 7; there are: lama/P19 (seed 0)",
        ),
        ([*cell_flags("predict", task="lama/P36"), "Ann"], "P36, seed 0 is not applicable: no facts"),
        ([*cell_flags("predict", method="manual"), "Ann"], "run `dvc repro untrained@tiny_bert` first"),
        (
            [*cell_flags("predict", method="magic"), "Ann"],
            "unknown method of the run 'magic'; valid ones: manual, prompt_tuning",
        ),
        (cell_flags("predict"), "either --file or texts"),
        ([*cell_flags("predict"), "--file", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_what_is_not_there_is_said(
    flags: list[str], message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(flags) == 1
    assert message in capsys.readouterr().err
    assert not (project / "answers.csv").exists()


def test_a_cell_without_its_prompt_or_on_another_model_is_refused(project: Path) -> None:
    params, paths = all_methods(), Paths(project)
    cell = find_cell(params, paths, "prompt_tuning", "tiny_bert", "lama/P19", 0)
    other = cell.model_copy(update={"provenance": {"backbone": "another"}})
    with pytest.raises(UserError, match="not the backbone that prompt_tuning was trained on"):
        load_cell(params, paths, other)
    shutil.rmtree(project / "results/train/tiny_bert/prompt_tuning/parts")
    with pytest.raises(UserError, match=r"key\.safetensors: not the file that training saved; run `dvc repro train@"):
        load_cell(params, paths, cell)


def test_a_template_that_the_task_no_longer_has_is_named(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    chosen = finished_cell(
        "manual", gpt2, "lama/P19", "gone", Trainable(), paths_with(prepared, tmp_path), all_methods()
    )
    with pytest.raises(UserError, match="'gone', which lama/P19 no longer has; run `dvc repro`"):
        predict(chosen, read_inputs(chosen.task, None, ["Ann"]))
