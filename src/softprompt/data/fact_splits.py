"""Splits of LAMA facts for backbones that are pretrained on them: what is withheld, and what official files lack.

The unit is a subject: all facts of a subject within a relation land on the same side, in whichever file they stood.
"""

import pandas as pd

from softprompt.config import TextSettings
from softprompt.seeding import numpy_generator

CARVED = {"train": 0.4, "dev": 0.2}  # share of the test subjects, for a relation without a file of that split


def split_for_text(relation: str, tables: dict[str, pd.DataFrame], settings: TextSettings) -> dict[str, pd.DataFrame]:
    """The relation's tables after withholding and carving: train, dev, test and, where any fact is withheld, withheld.

    Withheld facts stand in no other split, each once. Train or dev that a relation has no file of (P47, P190 and P530
    of AutoPrompt's) are carved from its test facts.
    """
    known = {split: table for split, table in tables.items() if split != "withheld"}
    every = pd.concat(known.values(), ignore_index=True)
    hidden = _drawn(every["subject"], {"withheld": settings.withheld}, relation, f"withheld {settings.seed}")[
        "withheld"
    ]
    withheld = [every[every["subject"].isin(hidden)], *([tables["withheld"]] if "withheld" in tables else [])]
    known = {split: table[~table["subject"].isin(hidden)].reset_index(drop=True) for split, table in known.items()}
    known = _carve(relation, known, settings)
    control = pd.concat(withheld).drop_duplicates(["subject", "label"]).reset_index(drop=True)
    return known | ({"withheld": control} if len(control) else {})


def _carve(relation: str, tables: dict[str, pd.DataFrame], settings: TextSettings) -> dict[str, pd.DataFrame]:
    lacking = {split: share for split, share in CARVED.items() if split not in tables}
    test = tables["test"]
    drawn = _drawn(test["subject"], lacking, relation, f"carved {settings.seed}")
    carved = {split: test[test["subject"].isin(subjects)].reset_index(drop=True) for split, subjects in drawn.items()}
    gone = set().union(*drawn.values())
    left = test[~test["subject"].isin(gone)].reset_index(drop=True)
    return {split: (carved | tables)[split] for split in CARVED} | {"test": left}


def _drawn(subjects: "pd.Series[str]", shares: dict[str, float], relation: str, purpose: str) -> dict[str, set[str]]:
    """Disjoint seeded samples of the different subjects, one of each share."""
    names = sorted(set(subjects))
    order = numpy_generator(f"lama/{relation}", purpose).permutation(len(names)).tolist()
    drawn, start = {}, 0
    for split, share in shares.items():
        end = start + round(share * len(names))
        drawn[split] = {names[i] for i in order[start:end]}
        start = end
    return drawn
