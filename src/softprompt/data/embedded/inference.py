"""Sentences about what happened and what did not, for the SuperGLUE- and FewGLUE-shaped tasks.

Whether an event took place follows from the words that embed it ("failed to", "knows that"): knowledge of words, which
pretraining can give and 32 examples cannot, joined with finding the right clause among several. Names of actors and
pairs of verb and noun are disjoint between the parts (pretraining, train, val, test), so nothing can be memorised.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from softprompt.data.embedded.tales import PLACES, TIMES, pick

PARTS = ("pretraining", "train", "val", "test")
# fmt: off
VERBS = [
    "open/opened", "close/closed", "paint/painted", "clean/cleaned", "sell/sold", "buy/bought", "hide/hid",
    "find/found", "break/broke", "repair/repaired", "move/moved", "carry/carried", "steal/stole", "burn/burned",
    "draw/drew", "wash/washed", "lose/lost", "lift/lifted",
]
NOUNS = [
    "gate", "window", "table", "lamp", "letter", "basket", "ring", "boat", "cart", "clock", "mirror", "bottle",
    "carpet", "bench", "ladder", "candle", "map", "coin", "chair", "rope", "box", "wheel",
]
THAT = {
    "yes": [
        "knows that", "regrets that", "is glad that", "remembers that", "noticed that", "discovered that",
        "is sorry that", "can prove that", "is proud that", "found out that",
    ],
    "no": [
        "only dreamed that", "pretended that", "lied that", "falsely claims that", "imagined that",
        "invented the story that", "is wrong to think that", "denies that", "wrongly believed that", "made up that",
    ],
    "maybe": [
        "thinks that", "says that", "hopes that", "heard that", "suspects that", "guesses that", "fears that",
        "read somewhere that",
    ],
}
TO = {
    "yes": [
        "managed to", "remembered to", "was able to", "dared to", "took the time to", "hurried to", "was forced to",
        "did not forget to", "did not fail to", "had the courage to", "made sure to",
    ],
    "no": [
        "failed to", "forgot to", "refused to", "neglected to", "was unable to", "did not manage to",
        "did not remember to", "was too tired to", "had no time to", "did not dare to", "never got to",
    ],
    "maybe": [
        "wanted to", "hoped to", "planned to", "promised to", "was asked to", "was ready to", "had a reason to",
        "intended to",
    ],
}
# fmt: on


@dataclass(frozen=True)
class Item:
    """A text, a statement or question about it, and yes, no or maybe."""

    context: str
    query: str
    answer: str


@dataclass(frozen=True)
class Cast:
    """Who and what may occur in one part of the data."""

    actors: tuple[str, ...]
    events: tuple[tuple[str, str, str], ...]  # infinitive, past, noun


def make_casts(actors: list[str]) -> dict[str, Cast]:
    """A cast for each part: actors and pairs of verb and noun are dealt out like cards."""
    verbs = [verb.split("/") for verb in VERBS]
    pairs = [(v, n) for v in range(len(VERBS)) for n in range(len(NOUNS))]
    casts = {}
    for i, part in enumerate(PARTS):
        mine = tuple((verbs[v][0], verbs[v][1], NOUNS[n]) for v, n in pairs if (v + n) % len(PARTS) == i)
        casts[part] = Cast(tuple(actors[i :: len(PARTS)]), mine)
    return casts


def draw_answer(shares: dict[str, float], rng: np.random.Generator) -> str:
    return list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]


def draw_events(cast: Cast, count: int, rng: np.random.Generator) -> list[tuple[str, str, str, str]]:
    """Distinct events, each with its actor: (actor, infinitive, past, noun)."""
    chosen = rng.choice(len(cast.events), size=count, replace=False)
    actors = rng.choice(len(cast.actors), size=count, replace=False)
    return [(cast.actors[int(a)], *cast.events[int(e)]) for a, e in zip(actors, chosen, strict=True)]


def commitment(cast: Cast, rng: np.random.Generator) -> Item:
    """CB's question: does the speaker's verb commit the text to the embedded clause? One or two speakers."""
    events = draw_events(cast, 2, rng)
    answers = [draw_answer({"yes": 0.35, "no": 0.45, "maybe": 0.2}, rng) for _ in events]
    told = [
        f"{pick(cast.actors, rng)} {pick(THAT[answer], rng)} {actor} {past} the {noun}."
        for answer, (actor, _, past, noun) in zip(answers, events, strict=True)
    ]
    shown = 1 + int(rng.random() < 0.5)
    order = rng.permutation(shown)
    actor, _, past, noun = events[0]
    return Item(" ".join(told[int(i)] for i in order), f"{actor} {past} the {noun}", answers[0])


def entailment(cast: Cast, rng: np.random.Generator) -> Item:
    """RTE's question: does the text entail the hypothesis, which is negated in a third of the items?"""
    actor, verb, past, noun = draw_events(cast, 1, rng)[0]
    happened = draw_answer({"yes": 0.5, "no": 0.32, "maybe": 0.18}, rng)
    context = f"{pick(TIMES, rng).capitalize()}, {actor} {pick(TO[happened], rng)} {verb} the {noun}"
    context += f" at the {pick(PLACES, rng)}." if rng.random() < 0.5 else "."
    if rng.random() < 0.67:
        return Item(context, f"{actor} {past} the {noun}", "yes" if happened == "yes" else "no")
    return Item(context, f"{actor} did not {verb} the {noun}", "yes" if happened == "no" else "no")


def question(cast: Cast, rng: np.random.Generator) -> Item:
    """BoolQ's question: did it happen, says a passage that also tells what others did."""
    events = draw_events(cast, 3, rng)[: 2 + int(rng.random() < 0.3)]
    answers = [draw_answer({"yes": 0.6, "no": 0.4}, rng) for _ in events]
    told = [
        f"{actor} {pick(TO[answer], rng)} {verb} the {noun}."
        for answer, (actor, verb, _, noun) in zip(answers, events, strict=True)
    ]
    actor, verb, _, noun = events[0]
    order = rng.permutation(len(told))
    return Item(" ".join(told[int(i)] for i in order), f"did {actor} {verb} the {noun}", answers[0])


DRAWERS: dict[str, Callable[[Cast, np.random.Generator], Item]] = {
    "CB": commitment,
    "RTE": entailment,
    "BoolQ": question,
}


def draw_items(task: str, cast: Cast, count: int, rng: np.random.Generator) -> list[Item]:
    """Items without repetition."""
    items: dict[Item, None] = {}
    while len(items) < count:
        items[DRAWERS[task](cast, rng)] = None
    return list(items)
