"""Which facts a backbone knows, template by template: the second half of the pretraining report."""

from pathlib import Path

import pandas as pd

from softprompt.backbones.backbone import Backbone
from softprompt.data.prepared import load_split, load_vocabulary, splits
from softprompt.data.prepared import tasks as prepared_tasks
from softprompt.tasks.load import load_task
from softprompt.training.answers import answers_of, keep_answerable
from softprompt.training.batches import Pool
from softprompt.training.fleet import Fleet
from softprompt.training.task_data import encode_split


def known_facts(backbone: Backbone, suite: Path, inference_tokens: int) -> pd.DataFrame:
    """P@1 of every manual template of every relation on each of its splits.

    Columns: relation, template, split, p_at_1, n. Train, dev and test facts were in the pretraining text, withheld ones
    were not.
    """
    tables = [_relation(backbone, suite, name, inference_tokens) for name in prepared_tasks(suite)]
    return pd.concat(tables, ignore_index=True)


def _relation(backbone: Backbone, suite: Path, name: str, inference_tokens: int) -> pd.DataFrame:
    task = load_task("lama", name, suite.parent)
    answers = answers_of(task, backbone, head=False, vocabulary=load_vocabulary(suite))
    facts = pd.concat([load_split(suite, name, split).assign(split=split) for split in splits(suite, name)])
    facts = keep_answerable(answers, facts)
    templates = task.templates("manual", backbone.kind)
    rows = [encode_split(answers, backbone, template, facts, 0, backbone.max_tokens) for template in templates]
    fleet = Fleet(backbone, [answers.space] * len(rows))
    answered = fleet.answer(Pool(rows, backbone.device), range(len(rows)), None, None, inference_tokens)
    tables = []
    for template, answer in zip(templates, answered, strict=True):
        correct = facts.assign(correct=facts["target"].to_numpy() == answer.prediction.numpy())
        table = correct.groupby("split", sort=False)["correct"].agg(p_at_1="mean", n="size").reset_index()
        tables.append(table.assign(relation=name, template=template.id))
    return pd.concat(tables)[["relation", "template", "split", "p_at_1", "n"]]
