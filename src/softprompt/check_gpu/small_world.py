"""Every method on small real architectures and a small world: fleets that train on any device within seconds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.backbones.architectures import ARCHITECTURES, build_model
from softprompt.backbones.backbone import Backbone
from softprompt.backbones.packing import read_texts
from softprompt.backbones.tokenizer import train_tokenizer
from softprompt.config import Architecture, Budget, SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.experiments.jobs import Job
from softprompt.experiments.members import build_members, train_members
from softprompt.experiments.task_loading import load_task_data
from softprompt.inputs.batches import Pool
from softprompt.inputs.outputs import Predictions
from softprompt.inputs.task_data import TaskData
from softprompt.methods import build_method
from softprompt.methods.base import Method, TrainedMethod, fresh_trainable
from softprompt.paths import Paths
from softprompt.prompts.trainable import Trainable, gather, restored
from softprompt.tasks.load import load_data_section, load_task
from softprompt.training.fleet import Fleet
from softprompt.training.member import Trained

WORLD = WorldSettings(subjects=24)
ROWS = 16  # of a split, at most
BATCH = 4
TOKENS = 600  # of a pass without gradients, so that dev takes several
MAX_TOKENS = 128
SETTINGS = ((5, 1e-2), (2, 3e-3))  # prompt length and learning rate of the members of a fleet
TASKS = {  # an answer form each: words of a large vocabulary, of labels, texts to choose from, to write, and tags
    "lama": ("P19", "P36"),
    "boolq": ("boolq",),
    "copa": ("copa",),
    "wsc": ("wsc",),
    "extra": ("sentiment", "ner"),
}
SUITE = {"lama": "lama", "extra": "extra"}  # of the others it is SuperGLUE


def write_small_world(root: Path) -> Path:
    """data/prepared of all suites in a folder; data/test is beside it."""
    for name, count in (("train", ROWS), ("val", ROWS // 2)):
        for task, row in (("copa", _choice), ("wsc", _pronoun)):
            path = root / "raw" / "superglue" / load_data_section("superglue", task).folder / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(row(index)) + "\n" for index in range(count)))
    embedded = SuiteSettings(source="embedded", test_limit=ROWS)
    told = SuiteSettings(source="local", path=str(root / "raw"), dev_share=0.3)
    for suite, settings, folder in (
        ("lama", embedded, root),
        ("superglue", embedded, root),
        ("extra", embedded.model_copy(update={"dev_share": 0.2, "train_limit": 60}), root),
        ("superglue", told, root / "told"),
    ):
        prepare_suite(suite, settings, WORLD, Paths(folder))
    return Paths(root).prepared


def tiny_backbone(model_type: str, prepared: Path, device: torch.device) -> Backbone:
    """One with random weights in float64."""
    tiny = Architecture(
        type=model_type, hidden_size=16, heads=2, feed_forward_size=32, positions=128, vocabulary_size=400
    )
    backbone = untrained_backbone(tiny, prepared, torch.device("cpu"))
    return backbone.with_model(backbone.model.double().to(device))


def untrained_backbone(architecture: Architecture, prepared: Path, device: torch.device) -> Backbone:
    """A backbone with random weights whose tokenizer knows the small world."""
    files = ("lama/text/facts.jsonl", "superglue/text/documents.jsonl")
    texts = [line["text"] for name in files for line in read_texts(prepared / name)]
    answers = json.loads((prepared / "lama" / "text" / "answers.json").read_text())
    tokenizer = train_tokenizer(architecture.type, texts[:2000], answers, architecture.vocabulary_size)
    model = build_model(architecture, tokenizer, seed=1).eval().to(device)
    model.requires_grad_(False)
    kind = ARCHITECTURES[architecture.type].kind
    return Backbone(f"untrained_{architecture.type}", kind, model, tokenizer, "untrained", has_lm_head=True)


@dataclass(frozen=True)
class Exercise:
    """A method on the tasks of one answer form, as members of a fleet."""

    method: Method
    data: Mapping[str, TaskData]
    jobs: Sequence[Job]

    def train(self, steps: int, jobs: Sequence[Job] | None = None) -> list[Trained]:
        """Some of the members, together. They look at dev at the end."""
        budget = Budget(trials=2, steps=steps, batch_size=BATCH, eval_every=steps, patience=2)
        return train_members(self._trained_method, self.data, jobs or self.jobs, budget, TOKENS)[1]

    def longest(self) -> int:
        """Tokens of the longest row that trains, prompts included."""
        splits = [member.train for member in build_members(self._trained_method, self.data, self.jobs)]
        return max(int(split.encoded.lengths.max()) for split in splits)

    def untrained(self) -> list[dict[str, Tensor]]:
        """What the members of a method that trains nothing are made of."""
        data, length = self.data[self.jobs[0].task], int(self.method.settings.fixed().get("prompt_length", 0))
        return [
            fresh_trainable(self.method, data.task, data.backbone, length, job.identity, data=data).saved()
            for job in self.jobs
        ]

    def answer(self, saved: Sequence[Mapping[str, Tensor]]) -> list[Predictions]:
        """What the members say of dev, from what was kept of them."""
        return [self._answer(job, kept) for job, kept in zip(self.jobs, saved, strict=True)]

    @property
    def _trained_method(self) -> TrainedMethod:
        assert isinstance(self.method, TrainedMethod)
        return self.method

    def _answer(self, job: Job, kept: Mapping[str, Tensor]) -> Predictions:
        data, length = self.data[job.task], int(job.settings.get("prompt_length", 0))
        there = {name: tensor.cpu().to(data.backbone.device) for name, tensor in kept.items()}
        parts: Trainable = restored(there, data.backbone, length).to(data.backbone.device)
        template = self.method.templates(data.task, data.backbone.kind)[0]
        pool = Pool([data.split("dev", template, parts.positions)], data.backbone.device)
        fleet = Fleet(parts.applied_to(data.backbone), [data.label_space.outputs])
        return fleet.predict(pool, [0], gather([parts]), TOKENS)[0]


def exercises(
    name: str, sections: Mapping[str, dict[str, Any]], backbone: Backbone, prepared: Path
) -> Iterator[tuple[str, Exercise]]:
    """Those of a method that apply to the backbone, by the kind of tasks."""
    for form, tasks in TASKS.items():
        method = build_method(name, sections[name])
        data = [loaded for task in tasks if (loaded := _data_of(method, form, task, backbone, prepared)) is not None]
        if data:
            yield form, Exercise(method, {one.task.key: one for one in data}, _jobs(method, data))


def _data_of(method: Method, form: str, task: str, backbone: Backbone, prepared: Path) -> TaskData | None:
    """A few rows of the task's training side, where the method meets it."""
    suite = SUITE.get(form, "superglue")
    root = prepared.parents[1] / "told" / "data" / "prepared" if form in ("copa", "wsc") else prepared
    defined = load_task(suite, task, root)
    if method.inapplicable(defined, backbone) or not method.templates(defined, backbone.kind):
        return None
    data = load_task_data(root / suite, defined, backbone, MAX_TOKENS, head=method.uses_head(defined))
    return replace(data, train=data.train.head(ROWS), dev=data.dev.head(ROWS // 2), unlabeled=data.unlabeled.head(ROWS))


def _jobs(method: Method, data: Sequence[TaskData]) -> list[Job]:
    """A member each task and setting; those of a tuned method, which has weights of its own, are one; the tasks that
    train together are one group."""
    tuned, together = method.state == "tuned", isinstance(method, TrainedMethod) and method.together
    members = [(setting, one) for setting in SETTINGS for one in data]
    return [
        Job(
            key=str(number),
            identity=f"member-{number}",
            task=one.task.key,
            seed=number,
            settings=_settings(method, *setting),
            tokens=0,
            reading="",
            group=f"of {setting[0]}" if together else "",
        )
        for number, (setting, one) in enumerate(members[:1] if tuned else members)
    ]


def _settings(method: Method, length: int, rate: float) -> dict[str, int | float]:
    if not isinstance(method, TrainedMethod):
        return {}
    lengths = {} if method.settings.prompt_length is None else {"prompt_length": length}
    return lengths | ({"learning_rate": rate} if method.settings.descends else {})


def _choice(index: int) -> dict[str, object]:
    return {
        "premise": f"The river rose {index} times.",
        "choice1": "It rained.",
        "choice2": "The sun was very hot over the hills.",
        "question": "cause" if index % 2 else "effect",
        "label": index % 2,
        "idx": index,
    }


def _pronoun(index: int) -> dict[str, object]:
    target = {"span1_text": "Old Ann", "span1_index": 0, "span2_text": "she", "span2_index": 6}
    return {
        "text": f"Old Ann met Bea {index} because she was late.",
        "target": target,
        "label": index % 3 > 0,
        "idx": index,
    }
