"""The entities of the generated world, what is true of them, and how the pretraining text tells it."""

from dataclasses import dataclass

import numpy as np

from softprompt.config import WorldSettings
from softprompt.data.embedded.names import NameMaker
from softprompt.data.embedded.relations import GENRES, INSTRUMENTS, MATERIALS, PROFESSIONS, RELATIONS, Relation
from softprompt.seeding import numpy_generator

FIRST_NAMES = 60
POOL_SIZES = {"language": 16, "company": 20, "continent": 9, "currency": 12}
SPLIT_SHARES = (("train", 0.4), ("dev", 0.2), ("test", 0.4))  # of the facts that pretraining shows


@dataclass(frozen=True)
class Line:
    """Pretraining text and the character spans that a masked model is to predict."""

    text: str
    answers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Fact:
    relation: Relation
    subject: str
    object: str
    split: str  # train, dev, test or withheld
    wordings: tuple[str, ...]  # those in which pretraining shows it; none where withheld


@dataclass(frozen=True)
class World:
    subjects: dict[str, list[str]]  # kind of entity -> names
    pools: dict[str, list[str]]  # kind of object -> words
    facts: list[Fact]


def make_world(settings: WorldSettings) -> World:
    """Everything that is true, drawn from the seed."""
    identity = f"world-{settings.seed}"
    pools = make_pools(numpy_generator(identity, "objects"), cities=max(settings.subjects, 20))
    maker = NameMaker(numpy_generator(identity, "subjects"), avoid={word for pool in pools.values() for word in pool})
    first_names = maker.short_names("first name", FIRST_NAMES)
    last_names = maker.long_names("person", settings.subjects)
    rng = numpy_generator(identity, "persons")
    persons = [f"{first_names[int(rng.integers(FIRST_NAMES))]} {last}" for last in last_names]
    subjects = {"person": persons} | {
        kind: maker.long_names(kind, settings.subjects) for kind in ("country", "work", "product")
    }
    facts = [
        fact
        for relation in RELATIONS
        for fact in draw_facts(relation, subjects[relation.subject], pools[relation.objects], settings)
    ]
    return World(subjects, pools, facts)


def make_pools(rng: np.random.Generator, *, cities: int) -> dict[str, list[str]]:
    """The words that can be objects: English ones, and invented names where a real one would be a real fact."""
    english = {"profession": PROFESSIONS, "instrument": INSTRUMENTS, "genre": GENRES, "material": MATERIALS}
    maker = NameMaker(rng, avoid={word for words in english.values() for word in words})
    sizes = {"city": cities} | POOL_SIZES
    return english | {kind: maker.short_names(kind, size) for kind, size in sizes.items()}


def skewed(count: int, *, offset: int = 0) -> np.ndarray:
    """Probabilities that fall as 1 / (rank + offset)."""
    weights = 1.0 / (np.arange(count) + 1 + offset)
    return weights / weights.sum()


def draw_facts(relation: Relation, subjects: list[str], pool: list[str], settings: WorldSettings) -> list[Fact]:
    """One fact a subject. Objects are skewed (commonest about 10 to 20 %), splits and wordings drawn independently."""
    rng = numpy_generator(f"world-{settings.seed}", f"facts of {relation.id}")
    if relation.type == "1-1":
        objects = [pool[int(i)] for i in rng.permutation(len(pool))[: len(subjects)]]
    else:
        drawn = rng.choice(relation.choices, size=len(subjects), p=skewed(relation.choices, offset=3))
        objects = [pool[int(i)] for i in drawn]
    splits = draw_splits(len(subjects), settings.withheld, rng)
    return [
        Fact(relation, subject, obj, split, draw_wordings(relation, split, settings.wordings_per_fact, rng))
        for subject, obj, split in zip(subjects, objects, splits, strict=True)
    ]


def draw_splits(count: int, withheld: float, rng: np.random.Generator) -> list[str]:
    """Split names in random order, with exact shares."""
    hidden = round(count * withheld)
    names = ["withheld"] * hidden
    for split, share in SPLIT_SHARES[1:]:
        names += [split] * round((count - hidden) * share)
    names += [SPLIT_SHARES[0][0]] * (count - len(names))
    return [names[int(i)] for i in rng.permutation(count)]


def draw_wordings(relation: Relation, split: str, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    """The few wordings that reach this fact, common ones more often: no single wording reaches every fact."""
    known = len(relation.wordings)
    chosen = rng.choice(known, size=min(count, known), replace=False, p=skewed(known))
    return () if split == "withheld" else tuple(relation.wordings[int(i)] for i in chosen)


def fact_line(wording: str, subject: str, obj: str) -> Line:
    """A fact in words, its object marked."""
    before, after = wording.replace("[X]", subject).split("[Y]")
    return Line(before + obj + after, ((len(before), len(before) + len(obj)),))
