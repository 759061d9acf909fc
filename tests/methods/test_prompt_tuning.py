"""Prompt tuning as its paper runs it: text to text on T5, trained against the whole vocabulary."""

from pathlib import Path

import pytest
import torch

from helpers.profiles import fixture_params
from helpers.task_data import task_data
from softprompt.backbones.backbone import NO_BLANK, Backbone
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members
from softprompt.inputs.batches import Pool
from softprompt.inputs.task_data import TaskData
from softprompt.methods import METHODS, TrainedMethod, build_method
from softprompt.prompts.trainable import gather
from softprompt.training.fleet import Fleet
from softprompt.training.member import Member


def method_named(name: str) -> TrainedMethod:
    method = build_method(name, fixture_params().methods[name])
    assert isinstance(method, TrainedMethod)
    return method


def member_of(name: str, task: str, backbone: Backbone, prepared: Path) -> tuple[Member, TaskData]:
    suite, _, short = task.partition("/")
    data = task_data(prepared, backbone, suite, short)
    job = Job("key", "one", task, 0, {"prompt_length": 3, "learning_rate": 1e-2}, 0, "words")
    (member,) = build_members(method_named(name), {task: data}, [job])
    return member, data


@pytest.mark.parametrize(("name", "whole"), [("prompt_tuning", True), ("p_tuning", False)])
def test_a_label_competes_with_the_whole_vocabulary_or_with_the_other_labels(
    name: str, whole: bool, backbone: Backbone, prepared: Path
) -> None:
    """The loss of each example by its closed form, with the answers still those of the task."""
    member, data = member_of(name, "superglue/cb", backbone, prepared)
    fleet, pool = Fleet(backbone, [member.space]), Pool([member.dev], backbone.device)
    numbers, parts = torch.arange(len(member.dev)), gather([member.trainable])
    with torch.no_grad():
        reading = fleet.read(pool.batch(0 * numbers, numbers), parts)
        losses = fleet.losses(reading)
    words = [data.label_space.output_of(label) for label in data.task.labels]
    among = list(range(reading.logits.shape[1])) if whole else words
    for row, target in enumerate(reading.target.tolist()):
        against = torch.stack([reading.logits[row, one] for one in among]).exp().sum().log()
        assert float(losses[row]) == pytest.approx(float(against - reading.logits[row, target]), abs=1e-9)
    (answered,) = fleet.predict(pool, [0], parts, 500)
    assert set(answered.prediction.tolist()) <= set(words)
    expected = reading.logits[:, words].argmax(dim=1)
    assert answered.prediction.tolist() == [words[index] for index in expected.tolist()]


@pytest.mark.parametrize(("task", "blank"), [("lama/P19", True), ("superglue/rte", False)])
def test_t5_sees_a_sentinel_only_where_a_text_has_a_blank(
    task: str, blank: bool, backbone: Backbone, prepared: Path
) -> None:
    member, _ = member_of("prompt_tuning", task, backbone, prepared)
    ids = set(member.train.encoded.ids.flatten().tolist())
    if backbone.kind == "seq2seq":
        assert (backbone.tokenizer.convert_tokens_to_ids("<extra_id_0>") in ids) == blank
        assert bool((member.train.encoded.read_at == NO_BLANK).all()) != blank
    else:
        assert bool((member.train.encoded.read_at > 0).all())
        assert (backbone.tokenizer.mask_token_id in ids) == (backbone.kind == "masked")


def test_only_prompt_tuning_trains_labels_against_the_whole_vocabulary() -> None:
    over = {name for name, one in METHODS.items() if getattr(one, "loss_over", "answers") == "vocabulary"}
    assert over == {"prompt_tuning"}
