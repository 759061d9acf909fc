"""The example set of the generated world, for tasks of different kinds trained together: praise, places, names.

Sentiment of reviews, questions for the place where somebody was, and named entities. Works, people and subjects differ
between the parts (pretraining, train, val), so nothing about them can be memorised.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softprompt.config import WorldSettings
from softprompt.data.embedded import draw_actors, write_lines, write_rows
from softprompt.data.embedded.facts import Line, World, make_world
from softprompt.data.embedded.inference import PARTS
from softprompt.data.embedded.relations import RELATIONS
from softprompt.data.embedded.tales import PLACES, TALES, TIMES, pick
from softprompt.errors import UserError
from softprompt.seeding import numpy_generator

ROWS = {"train": 400, "val": 200}
DOCUMENTS_PER_TASK = 4000
TRIES = 20  # draws a row, before the world is found too small
CONTRAST = 0.4  # share of the reviews that report the opposite first
SECOND_FACT = 0.4  # share of the sentences with names that tell two facts
PIECES = re.compile(r"(\[X\]|\[Y\]|\w+|[^\w\s])")
SUBJECT_TYPES = {"person": "PER", "country": "LOC", "work": "MISC", "product": "MISC"}
OBJECT_TYPES = {"city": "LOC", "continent": "LOC", "company": "ORG"}  # other objects are no names, as a profession
# fmt: off
PRAISE = [
    "is a joy to read", "was praised by everybody", "is full of warmth", "deserves a prize", "makes the readers smile",
    "is told with great skill", "was loved from the first page", "is clever and charming",
]
BLAME = [
    "is a waste of time", "was mocked by everybody", "is full of errors", "deserves no reader",
    "makes the readers yawn", "is told without any skill", "was hated from the first page", "is dull and clumsy",
]
# fmt: on
WHEREABOUTS = tuple(tale for tale in TALES["person"] if "{place}" in tale and "letter" not in tale)


@dataclass(frozen=True)
class Names:
    """Who and what may occur in one part of the data."""

    actors: tuple[str, ...]
    subjects: dict[str, tuple[str, ...]]
    objects: dict[str, tuple[str, ...]]


Row = dict[str, object]


def write_extra(settings: WorldSettings, root: Path) -> None:
    """Write extra/<task>/{train,val}.jsonl and extra/text/documents.jsonl below root: the same bytes on any machine."""
    world = make_world(settings)
    names = names_by_part(world, draw_actors(world, settings))
    for task, draw in DRAWERS.items():
        for part, count in ROWS.items():
            rng = numpy_generator(f"world-{settings.seed}", f"extra {task} {part}")
            rows = draw_rows(draw, names[part], count, rng)
            write_rows(root / "extra" / task / f"{part}.jsonl", [{"idx": i, **row} for i, row in enumerate(rows)])
    rng = numpy_generator(f"world-{settings.seed}", "extra documents")
    write_lines(root / "extra" / "text" / "documents.jsonl", documents(names["pretraining"], rng))


def names_by_part(world: World, actors: list[str]) -> dict[str, Names]:
    """Actors and subjects are dealt out like cards; objects belong to all."""
    objects = {kind: tuple(words) for kind, words in world.pools.items()}
    return {
        part: Names(
            tuple(actors[i :: len(PARTS)]),
            {kind: tuple(all_of[i :: len(PARTS)]) for kind, all_of in world.subjects.items()},
            objects,
        )
        for i, part in enumerate(PARTS)
    }


def draw_rows(
    draw: Callable[[Names, np.random.Generator], Row], names: Names, count: int, rng: np.random.Generator
) -> list[Row]:
    """Rows without repetition. Raises UserError where the world has too few names for so many."""
    rows: dict[str, Row] = {}
    for _ in range(TRIES * count):
        row = draw(names, rng)
        rows[str(row)] = row
        if len(rows) == count:
            return list(rows.values())
    raise UserError(
        f"world.subjects is too small: it gives {len(rows)} of {count} rows of the example set; write subjects: 24"
    )


def sentiment(names: Names, rng: np.random.Generator) -> Row:
    """A review of a work. In some the opposite is reported before the reviewer's own word."""
    good = bool(rng.random() < 0.5)
    own, other = (PRAISE, BLAME) if good else (BLAME, PRAISE)
    work = pick(names.subjects["work"], rng)
    first, second = (own[int(i)] for i in rng.choice(len(own), size=2, replace=False))
    text = f"{work} {first} and {second}."
    if rng.random() < CONTRAST:
        text = f"Some people say that {work} {pick(other, rng)}, but it {first}."
    return {"sentence": text, "label": "positive" if good else "negative"}


def qa(names: Names, rng: np.random.Generator) -> Row:
    """Where was somebody, says a passage that also tells of others."""
    count = 2 + int(rng.random() < 0.3)
    people = [names.actors[int(i)] for i in rng.choice(len(names.actors), size=count, replace=False)]
    places = [PLACES[int(i)] for i in rng.choice(len(PLACES), size=count, replace=False)]
    told = [
        pick(WHEREABOUTS, rng).format(name=name, place=place, time=pick(TIMES, rng))
        for name, place in zip(people, places, strict=True)
    ]
    order = rng.permutation(count)
    passage = " ".join(told[int(i)] for i in order)
    return {"passage": passage, "question": f"where was {people[0]}", "answer": places[0]}


def ner(names: Names, rng: np.random.Generator) -> Row:
    """One or two statements word by word, with CoNLL's types of names as BIO tags. What they state need not be true."""
    words, tags = statement(names, rng)
    if rng.random() < SECOND_FACT:
        more_words, more_tags = statement(names, rng)
        words, tags = words + more_words, tags + more_tags
    return {"words": words, "tags": tags}


def statement(names: Names, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Words and tags of a wording of some relation."""
    relation = RELATIONS[int(rng.integers(len(RELATIONS)))]
    chosen = {
        "[X]": (pick(names.subjects[relation.subject], rng), SUBJECT_TYPES[relation.subject]),
        "[Y]": (pick(names.objects[relation.objects], rng), OBJECT_TYPES.get(relation.objects, "")),
    }
    words: list[str] = []
    tags: list[str] = []
    for piece in PIECES.findall(pick(relation.wordings, rng)):
        name, kind = chosen.get(piece, (piece, ""))
        parts = name.split()
        words += parts
        tags += [f"{'I' if place else 'B'}-{kind}" if kind else "O" for place in range(len(parts))]
    return words, tags


DRAWERS: dict[str, Callable[[Names, np.random.Generator], Row]] = {"sentiment": sentiment, "qa": qa, "ner": ner}


def documents(names: Names, rng: np.random.Generator) -> list[Line]:
    """Pretraining text in random order: reviews and passages with a question and its answer."""
    lines = []
    for row in (sentiment(names, rng) for _ in range(DOCUMENTS_PER_TASK)):
        answer = {"positive": "Yes", "negative": "No"}[str(row["label"])]
        lines.append(document(f"{row['sentence']} Question: is that praise? Answer:", answer))
    for row in (qa(names, rng) for _ in range(DOCUMENTS_PER_TASK)):
        lines.append(document(f"{row['passage']} Question: {row['question']}? Answer:", str(row["answer"])))
    return [lines[int(i)] for i in rng.permutation(len(lines))]


def document(text: str, answer: str) -> Line:
    """One document, its answer marked."""
    start = len(text) + 1
    return Line(f"{text} {answer}.", ((start, start + len(answer)),))
