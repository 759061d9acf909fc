"""Which facts a backbone knows, template by template: the pretraining report's second half."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from softprompt.backbones.backbone import Backbone

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class RelationFacts:
    """A relation with its templates (id -> text with `{subject}` and `{mask}`) and facts (subject, label, split)."""

    relation: str
    templates: Mapping[str, str]
    facts: pd.DataFrame


def facts_known(backbone: Backbone, relations: Sequence[RelationFacts]) -> pd.DataFrame:
    """P@1 by argmax over the full vocabulary: relation, template, split, facts, p_at_1.

    An object that is not one token counts as unknown.
    """
    rows = []
    for entry in relations:
        gold = [answer_id(backbone, label) for label in entry.facts["label"]]
        for template, text in entry.templates.items():
            guesses = predict(backbone, text, entry.facts["subject"].tolist())
            known = pd.Series([g == h for g, h in zip(guesses, gold, strict=True)], index=entry.facts.index)
            for split, hits in known.groupby(entry.facts["split"]):
                rows.append((entry.relation, template, split, len(hits), float(hits.mean())))
    return pd.DataFrame(rows, columns=["relation", "template", "split", "facts", "p_at_1"])


def answer_id(backbone: Backbone, label: str) -> int | None:
    ids = backbone.tokenizer(f" {label}", add_special_tokens=False)["input_ids"]
    return int(ids[0]) if len(ids) == 1 else None


@torch.no_grad()
def predict(backbone: Backbone, template: str, subjects: list[str]) -> list[int]:
    """The likeliest token where the template's answer stands, a subject each."""
    guesses: list[int] = []
    for start in range(0, len(subjects), ROWS_AT_ONCE):
        texts = [question(backbone, template, subject) for subject in subjects[start : start + ROWS_AT_ONCE]]
        batch = backbone.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt").to(backbone.device)
        read_at = answer_positions(backbone, batch["input_ids"], batch["attention_mask"])
        hidden = backbone.encode(backbone.embed(batch["input_ids"]), batch["attention_mask"], read_at)
        guesses += backbone.project(hidden).argmax(dim=-1).tolist()
    return guesses


def question(backbone: Backbone, template: str, subject: str) -> str:
    """The template with its subject; a causal text ends before the answer."""
    if backbone.kind == "causal":
        return template.partition("{mask}")[0].rstrip().replace("{subject}", subject)
    blank = backbone.tokenizer.mask_token if backbone.kind == "masked" else "<extra_id_0>"
    return template.replace("{mask}", blank).replace("{subject}", subject)


def answer_positions(backbone: Backbone, ids: Tensor, attention_mask: Tensor) -> Tensor:
    """The mask's position, or a causal text's last token; unused where a decoder answers."""
    if backbone.kind == "masked":
        return (ids == backbone.tokenizer.mask_token_id).long().argmax(dim=1)
    return attention_mask.sum(dim=1) - 1
