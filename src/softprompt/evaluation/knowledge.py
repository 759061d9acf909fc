"""Which facts a backbone knows, template by template, those of the test split too: so a part of the evaluation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.packing import read_texts
from softprompt.data.prepared import load_split, load_vocabulary, splits
from softprompt.data.prepared import tasks as prepared_tasks
from softprompt.files import write_csv
from softprompt.inputs.batches import Pool
from softprompt.inputs.label_space import LabelSpace, keep_answerable, label_space_of
from softprompt.inputs.task_data import encode_split
from softprompt.paths import Paths
from softprompt.prompts.trainable import FleetParts
from softprompt.results import KnownFacts, StatedFacts
from softprompt.tasks.load import LAMA, load_task
from softprompt.tasks.task import Template
from softprompt.training.fleet import Fleet


def write_knowledge(backbone: Backbone, paths: Paths, inference_tokens: int) -> None:
    """facts.csv, and stated_facts.csv where the text says which template each of its lines was made of."""
    out = paths.evaluate(backbone.name)
    write_csv(out / "facts.csv", known_facts(backbone, paths, inference_tokens))
    stated = stated_facts(backbone, paths.suite(LAMA), inference_tokens)
    if not stated.empty:
        write_csv(out / "stated_facts.csv", stated)


def known_facts(backbone: Backbone, paths: Paths, inference_tokens: int) -> pd.DataFrame:
    """P@1 of every manual template of every relation on each of its splits; a row a KnownFacts.

    Train, dev and test facts were in the pretraining text, withheld ones were not.
    """
    tables = [_relation(backbone, paths, name, inference_tokens) for name in prepared_tasks(paths.suite(LAMA))]
    return pd.concat(tables, ignore_index=True)


def stated_facts(backbone: Backbone, suite: Path, inference_tokens: int) -> pd.DataFrame:
    """P@1 of the facts through the very wordings in which the pretraining text states them; a row a StatedFacts.

    Wordings that the backbone cannot be asked are absent.
    Empty where the text does not say which template a line was made of, as the embedded world's.
    """
    lines = pd.DataFrame(read_texts(suite / "text" / "facts.jsonl"))
    tables = []
    for (name, identity), stated in lines.groupby(["relation", "template"]) if "template" in lines else ():
        task = load_task(LAMA, str(name), suite.parent)
        label_space = label_space_of(task, backbone, head=False, vocabulary=load_vocabulary(suite))
        templates = [template for template in task.templates("manual", backbone.kind) if template.id == identity]
        facts = keep_answerable(label_space, stated)
        if templates and len(facts):
            correct = _correct(backbone, label_space, templates, facts, inference_tokens)[0]
            tables.append((name, identity, float(correct.mean()), len(facts)))
    return pd.DataFrame(tables, columns=list(StatedFacts.model_fields))


def _correct(
    backbone: Backbone,
    label_space: LabelSpace,
    templates: Sequence[Template],
    facts: pd.DataFrame,
    inference_tokens: int,
) -> list[NDArray[np.bool_]]:
    """Which of the facts each template recalls."""
    rows = [encode_split(label_space, backbone, template, facts, 0, backbone.max_tokens) for template in templates]
    fleet = Fleet(backbone, [label_space.outputs] * len(rows))
    answered = fleet.predict(Pool(rows, backbone.device), range(len(rows)), FleetParts(), inference_tokens)
    return [answer.gold_rank.numpy() == 1 for answer in answered]


def _relation(backbone: Backbone, paths: Paths, name: str, inference_tokens: int) -> pd.DataFrame:
    task = load_task(LAMA, name, paths.prepared)
    label_space = label_space_of(task, backbone, head=False, vocabulary=load_vocabulary(paths.suite(LAMA)))
    folders = paths.suite(LAMA), paths.test_suite(LAMA)
    tables = [load_split(one, name, split).assign(split=split) for one in folders for split in splits(one, name)]
    facts = keep_answerable(label_space, pd.concat(tables))
    if facts.empty:  # a probe none of whose answers is one token
        return pd.DataFrame(columns=list(KnownFacts.model_fields))
    templates = task.templates("manual", backbone.kind)
    found, scores = _correct(backbone, label_space, templates, facts, inference_tokens), []
    for template, correct in zip(templates, found, strict=True):
        scored = facts.assign(correct=correct).groupby("split", sort=False)["correct"]
        scores.append(scored.agg(p_at_1="mean", n="size").reset_index().assign(relation=name, template=template.id))
    return pd.concat(scores)[list(KnownFacts.model_fields)]
