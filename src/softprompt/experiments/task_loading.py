"""The training side of a task, read from what may be learnt from. The one door between data on disk and methods."""

from pathlib import Path

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.data.prepared import fingerprint, load_split, load_vocabulary, splits
from softprompt.data.splits import sample, unit_of
from softprompt.inputs.encoding import FURTHER_MASKS
from softprompt.inputs.label_space import LabelSpace, keep_answerable, label_space_of
from softprompt.inputs.task_data import TaskData
from softprompt.seeding import numpy_generator
from softprompt.tasks.load import LAMA, load_data_section
from softprompt.tasks.task import Task

MOST_FURTHER_MASKS = 3  # behind a text that a masked backbone learns to write


def load_task_data(
    folder: Path, task: Task, backbone: Backbone, max_tokens: int, *, head: bool, dev_limit: int | None = None
) -> TaskData:
    """The training side of a task. Raises UserError where its label words cannot be told apart on the backbone.

    Of dev at most `dev_limit` examples, the same for every method, backbone and seed.
    """
    label_space = label_space_of(task, backbone, head=head, vocabulary=load_vocabulary(folder))
    there = splits(folder, task.name)
    read = {split: load_split(folder, task.name, split) for split in ("train", "dev") if split in there}
    if "dev" in read:
        read["dev"] = sample(read["dev"], dev_limit, task.key, "dev limit", _units(task, read["dev"]["id"]))
    kept = {split: keep_answerable(label_space, examples) for split, examples in read.items()}
    nothing = pd.DataFrame(columns=["id", "group", "label", *task.fields, "target"])
    return TaskData(
        task=task,
        backbone=backbone,
        label_space=label_space,
        train=_learnable(label_space, backbone, kept.get("train", nothing)),
        dev=kept.get("dev", nothing),
        dropped={split: len(read[split]) - len(kept[split]) for split in read},
        fingerprint=fingerprint(folder, task.name) + ("" if dev_limit is None else f", {dev_limit} of dev"),
        max_tokens=min(max_tokens, backbone.max_tokens),
        unlabeled=load_split(folder, task.name, "unlabeled") if "unlabeled" in there else nothing,
    )


def _units(task: Task, ids: "pd.Series[str]") -> "pd.Series[str]":
    """What a sample takes whole: a question with all of its answers."""
    return ids if task.suite == LAMA else unit_of(ids, load_data_section(task.suite, task.name))


def _learnable(label_space: LabelSpace, backbone: Backbone, train: pd.DataFrame) -> pd.DataFrame:
    """What training can use: of texts to be generated only those that are right; a masked backbone learns to end them
    among 0 to 3 masks too many, as in PET, where predictions have one too many (pet/pvp.py, WscPVP)."""
    if label_space.outputs.form != "generation":
        return train
    right = train[train["target"] == 1].reset_index(drop=True)
    if backbone.kind != "masked":
        return right
    drawn = numpy_generator(label_space.task.key, FURTHER_MASKS).integers(0, MOST_FURTHER_MASKS + 1, len(right))
    return right.assign(**{FURTHER_MASKS: drawn})
