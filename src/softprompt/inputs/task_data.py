"""A task as one backbone and one method see it in training: its train and dev rows. The test split is not here."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import pandas as pd
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.inputs.batches import Split, one_row_a_wording, one_row_each
from softprompt.inputs.encoding import FURTHER_MASKS, encode_texts
from softprompt.inputs.label_space import LabelSpace
from softprompt.inputs.tagging import encode_tagged
from softprompt.tasks.candidates import candidates_of, gold_candidates
from softprompt.tasks.load import LAMA
from softprompt.tasks.task import CANDIDATE, Task, Template

MIN_TRAIN_FACTS = 8  # of a relation: one batch of P-tuning's LAMA code, which never trains on fewer


@dataclass(frozen=True)
class TaskData:
    """Answerable examples of train and dev, empty where a probe has none; `dropped` counts, of the splits that there
    are, those whose answer is not one token of the backbone or not in the restricted vocabulary."""

    task: Task
    backbone: Backbone
    label_space: LabelSpace
    train: pd.DataFrame
    dev: pd.DataFrame
    dropped: dict[str, int]
    fingerprint: str
    max_tokens: int
    unlabeled: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)  # empty where the task has no such texts
    _splits: dict[tuple[str, tuple[str, ...], int, int], Split] = field(default_factory=dict, repr=False)

    def missing(self, learns_from: Sequence[str]) -> str:
        """Why nothing can be learnt from these splits, or nothing."""
        absent = [split for split in learns_from if split not in self.dropped]
        if absent:
            return f"a zero-shot probe has no {' and no '.join(absent)} facts"
        empty = [split for split in learns_from if not len(getattr(self, split))]
        if empty:
            return f"no {' and no '.join(empty)} example has an answer that is one token of {self.backbone.name}"
        return self._too_few_facts(learns_from) or self._one_label(learns_from)

    def _too_few_facts(self, learns_from: Sequence[str]) -> str:
        if "train" not in learns_from or self.task.suite != LAMA or len(self.train) >= MIN_TRAIN_FACTS:
            return ""
        usable = f"{len(self.train)} of the {len(self.train) + self.dropped['train']} train facts"
        return f"only {usable} can be answered by {self.backbone.name}; expected at least {MIN_TRAIN_FACTS}"

    def _one_label(self, learns_from: Sequence[str]) -> str:
        labels = self.train["label"].unique()
        chooses = self.task.labels and self.label_space.outputs.form == "label"
        if not {"train", "dev"} <= set(learns_from) or not chooses or len(labels) > 1:
            return ""
        return f"every train example has the label {labels[0]!r}: nothing tells labels apart"

    def split(self, name: str, template: Template, prompt_length: int) -> Split:
        """The encoded rows of `train` or `dev`, made once for all members that share them."""
        in_row, longest = room_of(self.backbone, template, prompt_length, self.max_tokens)
        key = (name, template.wordings, in_row, longest)
        if key not in self._splits:
            examples = self.train if name == "train" else self.dev
            self._splits[key] = encode_split(self.label_space, self.backbone, template, examples, in_row, longest)
        return self._splits[key]

    def shape(self, template: Template) -> tuple[int, int]:
        """The most rows that a train example has, and tokens of an answer."""
        split = self.split("train", template, template.slots().count("prompt"))
        return int(split.counts.max()), split.target.shape[1]

    def tokens(self, template: Template, prompt_length: int) -> int:
        """Length of the longest train row. Rows differ by their prompts' lengths alone, so one encoding serves all."""
        in_row, longest = room_of(self.backbone, template, prompt_length, self.max_tokens)
        slots = template.slots().count("prompt")
        shortest = self.split("train", template, slots).encoded.lengths.max()
        return min(longest, int(shortest) + in_row - slots)


def room_of(backbone: Backbone, template: Template, prompt_length: int, max_tokens: int) -> tuple[int, int]:
    """How many of the prompt's vectors stand in a row, and the longest that rows may be. A prompt that has no slot in
    the template stands in front of them."""
    if "prompt" in template.slots():
        return prompt_length, min(max_tokens, backbone.max_tokens)
    return 0, min(max_tokens, backbone.room_behind(prompt_length))


def encode_split(
    label_space: LabelSpace,
    backbone: Backbone,
    template: Template,
    examples: pd.DataFrame,
    prompt_length: int,
    max_tokens: int,
) -> Split:
    """Encoded rows with the outputs of their answers: one row an example and wording, or one a candidate."""
    if label_space.outputs.form == "label":
        target = torch.tensor(examples["target"].tolist(), dtype=torch.long)
        asked = [
            encode_texts(backbone, wording, examples, prompt_length, max_tokens)
            for wording in (template.model_copy(update={"text": text}) for text in template.wordings)
        ]
        return one_row_each(asked[0], target) if len(asked) == 1 else one_row_a_wording(asked, target)
    if label_space.outputs.form == "tagging":
        return encode_tagged(label_space.task, backbone, template, examples, prompt_length, max_tokens)
    if label_space.outputs.form == "generation" and backbone.kind == "masked" and FURTHER_MASKS not in examples:
        examples = examples.assign(**{FURTHER_MASKS: 1})
    candidates = candidates_of(label_space.task, examples)
    counts = [len(texts) for texts in candidates]
    texts = examples.loc[examples.index.repeat(counts)].assign(**{CANDIDATE: list(chain.from_iterable(candidates))})
    encoded = encode_texts(backbone, template, texts, prompt_length, max_tokens)
    gold = list(chain.from_iterable(gold_candidates(label_space.task, examples)))
    by_head = len(label_space.outputs.allowed) == 1
    target = torch.zeros_like(encoded.answer) if by_head else encoded.answer
    return Split(encoded, target, torch.tensor(gold), torch.tensor(counts))
