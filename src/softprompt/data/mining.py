"""Prompts mined from text as LPAQA does: the words between the subject and the object of a fact, the commonest first.

Jiang et al. 2020, "How Can We Know What Language Models Know?", https://arxiv.org/abs/1911.12543, section 3.1,
middle-word prompts. Their dependency-based prompts need a parser and are left out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

WORD = re.compile(r"\w+")
BLANKS = re.compile(r"\s+")
Fact = tuple[str, str]  # subject, object


def mined_wordings(texts: Iterable[str], facts: Mapping[str, Sequence[Fact]]) -> dict[str, list[str]]:
    """By relation, wordings with {subject} and {mask} that stand between the two in some text; of equally common ones
    the first in the alphabet comes first."""
    by_first_word: dict[str, list[tuple[str, Fact]]] = defaultdict(list)
    for relation, own in facts.items():
        for fact in dict.fromkeys(own):
            by_first_word[_first_word(fact[0])].append((relation, fact))
    counted: dict[str, Counter[str]] = {relation: Counter() for relation in facts}
    for text in texts:
        for word in sorted(set(WORD.findall(text))):
            for relation, fact in by_first_word.get(word, ()):
                wording = middle_wording(text, fact)
                if wording:
                    counted[relation][wording] += 1
    return {relation: sorted(counts, key=lambda text: (-counts[text], text)) for relation, counts in counted.items()}


def middle_wording(text: str, fact: Fact) -> str:
    """`{subject} was born in {mask}.` or `{mask} is the home of {subject}.`; nothing where a name is missing, or where
    no word stands between them."""
    places = [_place(name, text) for name in fact]
    if None in places:
        return ""
    (subject_start, subject_end), (object_start, object_end) = (match.span() for match in places if match)
    forward = subject_end <= object_start
    middle = text[subject_end:object_start] if forward else text[object_end:subject_start]
    if not WORD.search(middle) or "{" in middle or "}" in middle:
        return ""
    first, last = ("{subject}", "{mask}") if forward else ("{mask}", "{subject}")
    return f"{first}{BLANKS.sub(' ', middle)}{last}."


def _first_word(name: str) -> str:
    words = WORD.findall(name)
    return words[0] if words else ""


def _place(name: str, text: str) -> "re.Match[str] | None":
    """Where a name stands as whole words."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) if name in text else None
