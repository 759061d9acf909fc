"""Which facts a backbone can be asked for: those whose object is one of its tokens and in the restricted vocabulary."""

from collections.abc import Iterator, Sequence

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.config import Params
from softprompt.data.prepared import load_split, load_vocabulary, splits, tasks
from softprompt.inputs.encoding import single_token
from softprompt.inputs.label_space import LabelSpace, label_space_of
from softprompt.paths import Paths
from softprompt.results import Coverage
from softprompt.tasks.load import LAMA, load_task


def coverage_table(params: Params, backbone: Backbone, paths: Paths) -> pd.DataFrame:
    """A row a split of every LAMA task: how many examples count, and how many are left out and why.

    The other suites have no row: there every label has its word.
    """
    rows = list(_rows(backbone, paths)) if LAMA in params.run.suites else []
    return pd.DataFrame([row.model_dump() for row in rows], columns=list(Coverage.model_fields))


def _rows(backbone: Backbone, paths: Paths) -> Iterator[Coverage]:
    learnable, label_space = paths.suite(LAMA), None
    for name in tasks(learnable):
        if label_space is None:  # the same for all of LAMA
            task = load_task(LAMA, name, paths.prepared)
            label_space = label_space_of(task, backbone, head=False, vocabulary=load_vocabulary(learnable))
        for folder in (learnable, paths.test_suite(LAMA)):
            for split in splits(folder, name):
                labels = load_split(folder, name, split)["label"].tolist()
                counts = _counts(labels, label_space, backbone)
                yield Coverage(suite=LAMA, task=name, backbone=backbone.name, split=split, **counts)


def _counts(labels: Sequence[str], label_space: LabelSpace, backbone: Backbone) -> dict[str, int]:
    one_token = {label: single_token(backbone, label) is not None for label in set(labels)}
    kept = {label for label in one_token if label_space.output_of(label) is not None}
    split_up = sum(not one_token[label] for label in labels)
    left = sum(label in kept for label in labels)
    outside = len(labels) - left - split_up
    return {"examples": len(labels), "kept": left, "not_one_token": split_up, "outside_vocabulary": outside}
