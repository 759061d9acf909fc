"""Paraphrases of a template by exchanging common phrases: LPAQA's second family where nobody has translated.

Jiang et al. 2020, https://arxiv.org/abs/1911.12543, section 3.2, paraphrase by translating into German and back. That
needs a translation model; these rules know general English only, nothing of a task or a backbone.
"""

import re
from collections.abc import Iterator
from itertools import permutations

INTERCHANGEABLE = (
    ("is", "was", "remains"),
    ("in", "at", "within"),
    ("of", "for"),
    ("by", "from"),
    ("works", "is employed", "has a job"),
    ("located", "situated", "found"),
    ("produced", "made", "built"),
    ("written", "composed"),
    ("born", "raised"),
    ("plays", "performs on"),
    ("native", "first"),
    ("official", "main"),
    ("capital", "chief city"),
    ("used", "spoken"),
)
POSSESSIVE = re.compile(r"^The ([\w ]+) of \{subject\} ")


def paraphrases(text: str) -> list[str]:
    """Wordings a rule away from the text, then those two rules away, without repetition and without the text."""
    once = list(_exchanged(text))
    twice = [further for wording in once for further in _exchanged(wording)]
    return [wording for wording in dict.fromkeys([*once, *twice]) if wording != text]


def _exchanged(text: str) -> Iterator[str]:
    """Every result of one rule."""
    if POSSESSIVE.match(text):
        yield POSSESSIVE.sub(r"{subject}'s \1 ", text)
    for phrases in INTERCHANGEABLE:
        for old, new in permutations(phrases, 2):
            wording = re.sub(rf"(?<![\w{{]){old}(?![\w}}])", new, text, count=1)
            if wording != text:
                yield wording
