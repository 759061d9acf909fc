"""Pretraining text of the superglue suite: texts with a question and its answer, in several layouts."""

import numpy as np

from softprompt.data.embedded.facts import Line
from softprompt.data.embedded.inference import DRAWERS, Cast, Item, draw_items

DOCUMENTS_PER_TASK = 4000
WORDS = {"yes": "Yes", "no": "No", "maybe": "Maybe"}
LAYOUTS = (  # the answer is marked by |
    "{context} Question: {query}? Answer: |{answer}|.",
    "{context} Question: {query}? Answer: |{answer}|.",
    "{context} {query}? |{answer}|.",
    "{query}? |{answer}|, {context}",
    "Question: {query}? {context} Answer: |{answer}|.",
)


def document_lines(cast: Cast, rng: np.random.Generator) -> list[Line]:
    """Documents of all kinds of question in random order, about the cast of pretraining only."""
    items = [item for task in DRAWERS for item in draw_items(task, cast, DOCUMENTS_PER_TASK, rng)]
    return [document(items[int(i)], LAYOUTS[int(rng.integers(len(LAYOUTS)))]) for i in rng.permutation(len(items))]


def document(item: Item, layout: str) -> Line:
    """One document, its answer word marked."""
    text = layout.format(context=item.context, query=item.query, answer=WORDS[item.answer])
    before, answer, after = text.split("|")
    return Line(before + answer + after, ((len(before), len(before) + len(answer)),))
