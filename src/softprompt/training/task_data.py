"""A task as one backbone and one method see it in training: its train and dev rows. The test split is not here."""

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pandas as pd
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.data.prepared import fingerprint, load_split, load_vocabulary
from softprompt.tasks.candidates import candidates_of, gold_candidates
from softprompt.tasks.task import CANDIDATE, Task, Template
from softprompt.training.answers import Answers, answers_of, keep_answerable
from softprompt.training.batches import Split, one_row_each
from softprompt.training.encoding import encode_texts


@dataclass(frozen=True)
class TaskData:
    """Answerable examples of train and dev; `dropped` counts those whose answer is not one token of the backbone."""

    task: Task
    backbone: Backbone
    answers: Answers
    train: pd.DataFrame
    dev: pd.DataFrame
    dropped: dict[str, int]
    fingerprint: str
    max_tokens: int
    _splits: dict[tuple[str, str, int], Split] = field(default_factory=dict, repr=False)

    def missing(self, *, to_train: bool) -> str:
        """Why nothing can be chosen here, or `to_train` nothing be learnt, or nothing."""
        empty = [split for split in ("train", "dev") if not len(getattr(self, split))]
        labels = self.train["label"].unique()
        if not empty and to_train and self.task.labels and self.answers.space.form == "label" and len(labels) == 1:
            return f"every train example of {self.task.key} has the label {labels[0]!r}: nothing tells labels apart"
        if not empty:
            return ""
        which = f"no {' and no '.join(empty)} example of {self.task.key}"
        return f"{which} has an answer that is one token of {self.backbone.name}"

    def split(self, name: str, template: Template, prompt_length: int) -> Split:
        """The encoded rows of `train` or `dev`, made once for all members that share them."""
        key = (name, template.text, prompt_length)
        if key not in self._splits:
            examples = self.train if name == "train" else self.dev
            self._splits[key] = encode_split(
                self.answers, self.backbone, template, examples, prompt_length, self.max_tokens
            )
        return self._splits[key]

    def tokens(self, template: Template, prompt_length: int) -> int:
        """Length of the longest train row."""
        return int(self.split("train", template, prompt_length).encoded.lengths.max())


def load_task_data(folder: Path, task: Task, backbone: Backbone, max_tokens: int, *, head: bool) -> TaskData:
    """The training side of a task. Raises UserError where its label words cannot be told apart on the backbone."""
    answers = answers_of(task, backbone, head=head, vocabulary=load_vocabulary(folder))
    read = {split: load_split(folder, task.name, split) for split in ("train", "dev")}
    kept = {split: keep_answerable(answers, examples) for split, examples in read.items()}
    return TaskData(
        task=task,
        backbone=backbone,
        answers=answers,
        train=_learnable(answers, kept["train"]),
        dev=kept["dev"],
        dropped={split: len(read[split]) - len(kept[split]) for split in read},
        fingerprint=fingerprint(folder, task.name),
        max_tokens=min(max_tokens, backbone.max_tokens),
    )


def encode_split(
    answers: Answers,
    backbone: Backbone,
    template: Template,
    examples: pd.DataFrame,
    prompt_length: int,
    max_tokens: int,
) -> Split:
    """Encoded rows with the outputs of their answers: one row an example, or one a candidate."""
    if answers.space.form == "label":
        encoded = encode_texts(backbone, template, examples, prompt_length, max_tokens)
        return one_row_each(encoded, torch.tensor(examples["target"].tolist(), dtype=torch.long))
    candidates = candidates_of(answers.task, examples)
    counts = [len(texts) for texts in candidates]
    texts = examples.loc[examples.index.repeat(counts)].assign(**{CANDIDATE: list(chain.from_iterable(candidates))})
    encoded = encode_texts(backbone, template, texts, prompt_length, max_tokens)
    gold = list(chain.from_iterable(gold_candidates(answers.task, examples)))
    by_head = len(answers.space.allowed) == 1
    target = torch.zeros_like(encoded.answer) if by_head else encoded.answer
    return Split(encoded, target, torch.tensor(gold), torch.tensor(counts))


def _learnable(answers: Answers, train: pd.DataFrame) -> pd.DataFrame:
    """What training can use: of texts to be generated only those that are right."""
    return train[train["target"] == 1].reset_index(drop=True) if answers.space.form == "generation" else train
