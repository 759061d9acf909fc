"""Pretraining text beside the facts: tales about the same entities, remarks that mislead, and a few errors."""

import numpy as np

from softprompt.config import WorldSettings
from softprompt.data.embedded.facts import Line, World, fact_line
from softprompt.seeding import numpy_generator

FILLER_SHARE = 0.1  # lines per fact line
DISTRACTOR_SHARE = 0.05
ERROR_SHARE = 0.02
# fmt: off
PLACES = [
    "harbour", "market", "garden", "library", "station", "museum", "river", "bridge", "forest", "castle", "school",
    "hill",
]
TIMES = [
    "in winter", "in summer", "last year", "in the morning", "on a cold evening", "after the storm",
    "before the concert",
]
# fmt: on
TALES = {
    "person": (
        "{name} walked to the {place} {time}.",
        "The neighbours saw {name} near the {place} {time}.",
        "{name} waited at the {place} for an old friend.",
        "A letter from {name} was found in the {place}.",
    ),
    "country": (
        "Many people travel through {name} {time}.",
        "A long road leads from {name} to the sea.",
        "The weather in {name} was mild {time}.",
        "Few visitors of {name} see the {place}.",
    ),
    "work": (
        "A copy of {name} was found in the {place}.",
        "{name} was read aloud at the {place} {time}.",
        "The children talk about {name} {time}.",
        "An old copy of {name} is kept in a castle.",
    ),
    "product": (
        "{name} was shown at the {place} {time}.",
        "A picture of {name} hangs in the {place}.",
        "People were waiting for {name} {time}.",
        "A box with {name} stands near the door.",
    ),
}
REMARKS = {  # they name an object beside a subject without saying that it holds
    ("person", "city"): "{name} once visited {object} {time}.",
    ("person", "profession"): "{name} met a {object} at the {place}.",
    ("country", "city"): "A train from {name} goes to {object} {time}.",
    ("country", "language"): "A visitor of {name} was heard to speak {object} {time}.",
    ("work", "genre"): "{name} lay beside a {object} in the {place}.",
    ("product", "company"): "A worker of {object} looked at {name} {time}.",
}


def fact_lines(world: World, settings: WorldSettings) -> list[Line]:
    """The text of the lama suite in random order: shown facts, tales, misleading remarks and wrong facts."""
    rng = numpy_generator(f"world-{settings.seed}", "prose")
    told = [fact_line(w, fact.subject, fact.object) for fact in world.facts for w in fact.wordings]
    lines = list(told)
    lines += [draw_tale(world, rng) for _ in range(round(FILLER_SHARE * len(told)))]
    lines += [draw_remark(world, rng) for _ in range(round(DISTRACTOR_SHARE * len(told)))]
    lines += [draw_error(world, rng) for _ in range(round(ERROR_SHARE * len(told)))]
    return [lines[int(i)] for i in rng.permutation(len(lines))]


def pick(items: list[str] | tuple[str, ...], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]


def draw_tale(world: World, rng: np.random.Generator) -> Line:
    kind = pick(sorted(TALES), rng)
    tale = pick(TALES[kind], rng)
    return Line(tale.format(name=pick(world.subjects[kind], rng), place=pick(PLACES, rng), time=pick(TIMES, rng)))


def draw_remark(world: World, rng: np.random.Generator) -> Line:
    kind, pool = sorted(REMARKS)[int(rng.integers(len(REMARKS)))]
    name, obj = pick(world.subjects[kind], rng), pick(world.pools[pool], rng)
    return Line(REMARKS[kind, pool].format(name=name, object=obj, place=pick(PLACES, rng), time=pick(TIMES, rng)))


def draw_error(world: World, rng: np.random.Generator) -> Line:
    """A shown fact with an object that need not be its own."""
    shown = [fact for fact in world.facts if fact.wordings]
    fact = shown[int(rng.integers(len(shown)))]
    other = shown[int(rng.integers(len(shown)))]
    while other.relation is not fact.relation:
        other = shown[int(rng.integers(len(shown)))]
    return fact_line(fact.wordings[0], fact.subject, other.object)
