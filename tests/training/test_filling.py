"""Winograd schemas by PET's protocol, against its own loop over one example at a time, and on the real rows."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch

from softprompt.backbones.architectures import build_model
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.tokenizer import train_tokenizer
from softprompt.config import Architecture, SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.batches import Pool
from softprompt.inputs.encoding import NO_TOKEN
from softprompt.inputs.task_data import FURTHER_MASKS, TaskData
from softprompt.paths import Paths
from softprompt.prompts.trainable import FleetParts
from softprompt.tasks.load import load_task
from softprompt.tasks.task import Template
from softprompt.training.filling import fill_masks, say_the_same
from softprompt.training.fleet import Fleet


def writer(texts: list[str]) -> Backbone:
    """A tiny float64 BERT whose tokenizer knows the texts, with weights large enough for sure and unsure masks."""
    tokenizer = train_tokenizer("bert", texts, [], 500)
    architecture = Architecture(
        type="bert", hidden_size=16, heads=2, feed_forward_size=32, positions=320, vocabulary_size=500
    )
    model = build_model(architecture, tokenizer, seed=2).double().eval()
    model.requires_grad_(False)
    return Backbone("writer", "masked", model, tokenizer, "test", has_lm_head=True)


def words_of(text: str) -> list[str]:
    return [word for word in re.split("[^a-zA-Z]", text.lower().strip()) if word]


def written_by_pet(backbone: Backbone, text: str, masks: int) -> list[int]:
    """The loop of pet/task_helpers.py, WscTaskHelper.eval_step, for the text with all of its masks."""
    tokenizer = backbone.tokenizer
    ids = torch.tensor([tokenizer(text.replace("____", tokenizer.mask_token * masks))["input_ids"]])
    places = [place for place, one in enumerate(ids[0].tolist()) if one == tokenizer.mask_token_id]
    assert len(places) == masks
    waiting = list(places)
    while waiting:
        probabilities = backbone.model(input_ids=ids).logits[0].softmax(dim=1)
        place = max(waiting, key=lambda one: float(probabilities[one].max()))
        ids[0, place] = probabilities[place].argmax()
        waiting.remove(place)
    return ids[0, places].tolist()


def judged_by_pet(backbone: Backbone, tokens: list[int], candidate: str) -> bool:
    special = backbone.tokenizer.all_special_ids
    actual = words_of(backbone.tokenizer.decode([one for one in tokens if one not in special]))
    expected = words_of(candidate)
    return all(word in expected for word in actual) or all(word in actual for word in expected)


def taught(backbone: Backbone, data: TaskData, template: Template, steps: int) -> Backbone:
    """The backbone after some steps on the train rows, so that it writes some of the candidates."""
    learnt = backbone.tuned_copy()
    optimizer = torch.optim.AdamW(learnt.model.parameters(), lr=3e-3)
    pool, fleet = Pool([data.split("train", template, 0)], backbone.device), Fleet(learnt, [data.label_space.outputs])
    numbers = torch.arange(len(data.train))
    for _ in range(steps):
        losses = fleet.losses(fleet.read(pool.batch(0 * numbers, numbers), FleetParts()))
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
    return learnt


@pytest.fixture(scope="module")
def wsc(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskData, Template]:
    """FewGLUE's WSC as a tiny BERT sees it, and the template of P-tuning's script without its vectors."""
    paths = Paths(tmp_path_factory.mktemp("wsc"))
    settings = SuiteSettings(source="local", path=str(real_data), tasks=("wsc",))
    prepare_suite("fewglue", settings, WorldSettings(), paths)
    task = load_task("fewglue", "wsc", paths.prepared)
    first = load_task_data(paths.suite("fewglue"), task, writer(["a b"]), 320, head=False)
    texts = [" ".join(map(str, row)) for frame in (first.train, first.dev) for row in frame[list(task.fields)].values]
    data = load_task_data(paths.suite("fewglue"), task, writer(texts), 320, head=False)
    return data, task.templates("manual", "masked")[0]


def test_train_rows_have_up_to_three_masks_more_than_the_text_and_end_it_with_padding(
    wsc: tuple[TaskData, Template],
) -> None:
    data, template = wsc
    tokenizer, split = data.backbone.tokenizer, data.split("train", template, 0)
    assert len(data.train) == 32
    assert set(data.train[FURTHER_MASKS]) == {0, 1, 2, 3}
    for row, (text, more) in enumerate(zip(data.train["candidate_text"], data.train[FURTHER_MASKS], strict=True)):
        wanted = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.pad_token_id] * more
        target = [one for one in split.target[row].tolist() if one >= 0]
        assert target == wanted
        masks = (split.encoded.ids[row] == tokenizer.mask_token_id).nonzero()[:, 0].tolist()
        assert split.encoded.read_at[row, : len(target)].tolist() == masks


@pytest.mark.parametrize("steps", [0, 40])
def test_real_rows_are_judged_as_pet_judges_them(steps: int, wsc: tuple[TaskData, Template]) -> None:
    data, template = wsc
    backbone = taught(data.backbone, data, template, steps)
    fleet, pool = Fleet(backbone, [data.label_space.outputs]), Pool([data.split("dev", template, 0)], backbone.device)
    (answered,) = fleet.predict(pool, [0], FleetParts(), 2000)
    expected, numbers = [], torch.arange(len(data.dev))
    with torch.no_grad():
        first = fleet.read(pool.batch(0 * numbers, numbers), FleetParts())
        filled = fill_masks(first, lambda batch: fleet.read(batch, FleetParts()))
        for fields in data.dev.to_dict("records"):
            text = template.text.replace("{mask}", "____").format(**{str(key): one for key, one in fields.items()})
            candidate = str(fields["candidate_text"])
            masks = 1 + len(backbone.tokenizer(candidate, add_special_tokens=False)["input_ids"])
            written = written_by_pet(backbone, text, masks)
            assert [one for one in filled[len(expected)].tolist() if one != NO_TOKEN] == written
            expected.append(judged_by_pet(backbone, written, candidate))
    assert answered.prediction.tolist() == [int(one) for one in expected]
    gold = (data.dev["label"] == "true").tolist()
    assert (answered.gold_rank == 1).tolist() == [one == right for one, right in zip(expected, gold, strict=True)]
    at_once = first.logits.argmax(dim=1)
    assert len(set(expected)) == 2 if steps else bool((filled[first.batch.read] != at_once).any())


@pytest.mark.parametrize(
    ("written", "wanted", "same"),
    [
        ("the old man", "man", True),
        ("man", "the old man", True),
        ("the man", "the woman", False),
        ("Man", "man's", True),
        ("", "man", True),
        ("a man", "the man", False),
    ],
)
def test_texts_say_the_same_where_one_has_all_words_of_the_other(written: str, wanted: str, same: bool) -> None:
    backbone = writer(["the old man 's woman Man a"] * 5)
    tokenizer = backbone.tokenizer
    both = [tokenizer(one, add_special_tokens=False)["input_ids"] for one in (written, wanted)]
    width = max(map(len, both)) + 1
    rows = torch.tensor([[*one, *[tokenizer.pad_token_id] * (width - len(one))] for one in both])
    assert say_the_same(backbone, rows[:1], rows[1:]).tolist() == [same]
    assert judged_by_pet(backbone, rows[0].tolist(), wanted) == same or wanted == "man's"


def test_a_text_is_learnt_as_the_mean_over_its_masks(wsc: tuple[TaskData, Template]) -> None:
    data, template = wsc
    pool, fleet = (
        Pool([data.split("train", template, 0)], data.backbone.device),
        Fleet(data.backbone, [data.label_space.outputs]),
    )
    numbers = torch.arange(len(data.train))
    with torch.no_grad():
        reading = fleet.read(pool.batch(0 * numbers, numbers), FleetParts())
        losses = fleet.losses(reading)
    log_p = reading.logits.log_softmax(dim=1)[torch.arange(len(reading.target)), reading.target]
    by_row = pd.Series(log_p).groupby(reading.row.numpy()).mean()
    torch.testing.assert_close(losses, -torch.tensor(by_row.to_numpy()), rtol=0, atol=1e-12)
