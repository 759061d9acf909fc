"""Answers that are texts: candidates and generation, against the library's own forward pass, one text at a time."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.candidate_files import prepared_texts
from helpers.profiles import fixture_params
from helpers.task_data import task_data as loaded
from helpers.task_data import task_of
from softprompt.backbones.backbone import Backbone
from softprompt.config import Budget
from softprompt.inputs.batches import Pool
from softprompt.inputs.label_space import prediction_table
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.task_data import TaskData
from softprompt.methods import build_method
from softprompt.methods.base import Method, TrainedMethod, fresh_trainable
from softprompt.prompts.trainable import FleetParts
from softprompt.tasks.candidates import candidates_of
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet
from softprompt.training.loop import FleetWork, train_fleet
from softprompt.training.member import Member, Trained

SECTIONS = fixture_params().methods
BUDGET = Budget(trials=2, steps=6, batch_size=3, eval_every=3, patience=2)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_texts(tmp_path_factory.mktemp("texts"))


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, SECTIONS[name])
    assert isinstance(method, TrainedMethod)
    return method


def task_data(folder: Path, backbone: Backbone, method: Method, name: str) -> TaskData:
    return loaded(folder, backbone, "superglue", name, head=method.uses_head(task_of("superglue", name, folder)))


def predicted_with_losses(data: TaskData, template: Template) -> tuple[Predictions, Tensor]:
    """The backbone's predictions on dev in plain words, and its losses with gradients."""
    pool = Pool([data.split("dev", template, 0)], data.backbone.device)
    fleet = Fleet(data.backbone, [data.label_space.outputs])
    (answered,) = fleet.predict(pool, [0], FleetParts(), 64)
    number = torch.arange(len(data.dev))
    return answered, fleet.losses(fleet.read(pool.batch(0 * number, number), FleetParts()))


def token_scores(backbone: Backbone, template: Template, fields: dict[str, str], text: str) -> tuple[Tensor, Tensor]:
    """Log-probabilities (K, V) of the tokens of a candidate, and those tokens, by the model's own forward pass."""
    tokenizer, model = backbone.tokenizer, backbone.model
    answer = torch.tensor(tokenizer(f" {text}", add_special_tokens=False)["input_ids"])
    filled = template.text.replace("{mask}", "____").format(**fields)
    before, _, after = filled.partition("____")
    if backbone.kind == "causal":
        start = tokenizer(before.rstrip())["input_ids"]
        logits = model(input_ids=torch.tensor([[*start, *answer.tolist()]])).logits[0, len(start) - 1 : -1]
    elif backbone.kind == "seq2seq":
        ids = torch.tensor([tokenizer(f"{before.rstrip()}<extra_id_0>{after}")["input_ids"]])
        sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
        decoder = torch.tensor([[model.config.decoder_start_token_id, sentinel, *answer.tolist()]])
        logits = model(input_ids=ids, decoder_input_ids=decoder).logits[0, 1:-1]
    else:
        glued = before if tokenizer.sep_token == "[SEP]" else before.rstrip()
        ids = torch.tensor([tokenizer(glued + tokenizer.mask_token * len(answer) + after)["input_ids"]])
        logits = model(input_ids=ids).logits[0, ids[0] == tokenizer.mask_token_id]
    return logits.log_softmax(dim=-1), answer


@pytest.mark.parametrize("task", ["copa", "record"])
def test_the_likeliest_candidate_wins(task: str, backbone: Backbone, texts: Path) -> None:
    data = task_data(texts, backbone, build_method("manual", {}), task)
    template = data.task.templates("manual", backbone.kind)[0]
    answered, losses = predicted_with_losses(data, template)
    candidates = candidates_of(data.task, data.dev)
    for index, fields in enumerate(data.dev.drop(columns="target").to_dict("records")):
        scores = []
        for text in candidates[index]:
            log_p, answer = token_scores(backbone, template, {str(k): v for k, v in fields.items()}, text)
            scores.append(log_p[torch.arange(len(answer)), answer].mean())
        stacked = torch.stack(scores)
        gold = int(data.dev["target"][index])
        torch.testing.assert_close(losses[index], stacked.logsumexp(0) - stacked[gold], rtol=0, atol=1e-9)
        assert int(answered.prediction[index]) == int(stacked.argmax())
        assert int(answered.gold_rank[index]) == 1 + int((stacked > stacked[gold]).sum())


def test_a_text_counts_as_generated_where_greedy_decoding_writes_it(gpt2: Backbone, texts: Path) -> None:
    data = task_data(texts, gpt2, build_method("manual", {}), "wsc")
    template = data.task.templates("manual", "causal")[0]
    learnt = gpt2.tuned_copy()
    optimizer = torch.optim.AdamW(learnt.model.parameters(), lr=1e-2)
    first = {str(key): value for key, value in data.dev.iloc[0].items()}
    for _ in range(80):
        log_p, answer = token_scores(learnt, template, first, "Old Ann")
        optimizer.zero_grad()
        (-log_p[torch.arange(len(answer)), answer].mean()).backward()
        optimizer.step()
    own = task_data(texts, learnt, build_method("manual", {}), "wsc")
    answered, _ = predicted_with_losses(own, template)
    written = []
    for fields in own.dev.to_dict("records"):
        before = template.text.partition(" {mask}")[0].format(**{str(k): v for k, v in fields.items()})
        ids = torch.tensor([gpt2.tokenizer(before)["input_ids"]])
        wanted = gpt2.tokenizer(" Old Ann", add_special_tokens=False)["input_ids"]
        decoded = learnt.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(wanted), do_sample=False, pad_token_id=0
        )
        written.append(int(decoded[0, ids.shape[1] :].tolist() == wanted))
    assert answered.prediction.tolist() == written
    assert any(written)
    frame = prediction_table(own.label_space, own.dev, answered)
    assert (frame["prediction"] == "true").tolist() == [bool(one) for one in written]


def test_generation_learns_from_true_rows_only(bert: Backbone, texts: Path) -> None:
    data = task_data(texts, bert, method_named("p_tuning"), "wsc")
    assert set(data.train["label"]) == {"true"}
    assert set(data.dev["label"]) == {"true", "false"}
    assert set(task_data(texts, bert, method_named("fine_tuning"), "wsc").train["label"]) == {"true", "false"}


def member(data: TaskData, method: TrainedMethod, index: int) -> Member:
    template, identity = method.templates(data.task, data.backbone.kind)[0], f"{data.task.key}-{index}"
    length = 2 + index if method.settings.prompt_length else 0
    return Member(
        identity=identity,
        space=data.label_space.outputs,
        learning_rate=1e-2,
        train=data.split("train", template, length),
        dev=data.split("dev", template, length),
        dev_score=lambda answered: float(answered.prediction.float().mean()),
        trainable=fresh_trainable(method, data.task, data.backbone, length, identity),
    )


def trained(data: TaskData, method: TrainedMethod, indices: list[int]) -> list[Trained]:
    members = [member(data, method, index) for index in indices]
    for one in members:
        one.trainable.double()
    backbone = members[0].trainable.applied_to(data.backbone)
    return train_fleet(FleetWork(backbone, members, BUDGET, method.settings.recipe, inference_tokens=200))


@pytest.mark.parametrize("task", ["copa", "wsc", "record"])
def test_a_member_trains_in_a_fleet_as_it_does_alone(task: str, backbone: Backbone, texts: Path) -> None:
    method = method_named("p_tuning")
    data = task_data(texts, backbone, method, task)
    together = trained(data, method, [0, 1])
    for index, companion in enumerate(together):
        (alone,) = trained(data, method, [index])
        torch.testing.assert_close(companion.saved["prompt.vectors"], alone.saved["prompt.vectors"], rtol=0, atol=1e-8)
        assert companion.curve[0].train_loss == pytest.approx(alone.curve[0].train_loss, abs=1e-6)


@pytest.mark.parametrize("task", ["copa", "record"])
def test_a_head_gives_each_candidate_one_number(task: str, bert: Backbone, texts: Path) -> None:
    method = method_named("fine_tuning")
    data = task_data(texts, bert, method, task)
    (outcome,) = trained(data, method, [0])
    assert outcome.saved["head.weight"].shape == (1, bert.hidden_size)
    assert outcome.curve[-1].train_loss < 1.2


def test_one_label_in_train_teaches_a_head_nothing(bert: Backbone, texts: Path) -> None:
    data = task_data(texts, bert, method_named("fine_tuning"), "wsc")
    data = replace(data, train=data.train[data.train["label"] == "true"])
    assert data.missing(("train", "dev")) == ("every train example has the label 'true': nothing tells labels apart")
    assert not data.missing(("train",))
