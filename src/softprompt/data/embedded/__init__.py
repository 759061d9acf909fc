"""The generated world behind the suites with source `embedded`, written in the layout of the real files."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from softprompt.config import WorldSettings
from softprompt.data.embedded.documents import WORDS, document_lines
from softprompt.data.embedded.facts import Fact, Line, World, make_world
from softprompt.data.embedded.inference import Cast, Item, draw_items, make_casts
from softprompt.data.embedded.names import NameMaker
from softprompt.data.embedded.relations import RELATIONS, Relation
from softprompt.data.embedded.tales import fact_lines
from softprompt.files import write_atomically
from softprompt.seeding import numpy_generator

ACTORS = 160
ROWS = {"train": 800, "val": 300, "test": 20}
FEW_SHOT = 32
UNLABELED = 300
FIELDS = {"CB": ("premise", "hypothesis"), "RTE": ("premise", "hypothesis"), "BoolQ": ("passage", "question")}
LABELS: dict[str, dict[str, str | bool]] = {
    "CB": {"yes": "entailment", "no": "contradiction", "maybe": "neutral"},
    "RTE": {"yes": "entailment", "no": "not_entailment"},
    "BoolQ": {"yes": True, "no": False},
}
Row = Mapping[str, object]


def write_world(world: WorldSettings, root: Path) -> None:
    """Write all suites and the pretraining text below root: the same bytes from the same settings, on any machine."""
    made = make_world(world)
    write_lama(made, root)
    write_lines(root / "text" / "facts.jsonl", fact_lines(made, world))
    casts = make_casts(draw_actors(made, world))
    for task in FIELDS:
        write_task(task, casts, world, root)
    rng = numpy_generator(f"world-{world.seed}", "documents")
    write_lines(root / "text" / "documents.jsonl", document_lines(casts["pretraining"], rng))
    answers = sorted({fact.object for fact in made.facts} | set(WORDS.values()))
    write_atomically(root / "text" / "answers.json", json.dumps(answers, indent=1) + "\n")


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    write_rows(path, ({"text": line.text, "answers": [list(span) for span in line.answers]} for line in lines))


def write_lama(world: World, root: Path) -> None:
    """Facts and wordings as LAMA, AutoPrompt and ParaRel lay them out."""
    keys = ("relation", "template", "label", "type")
    rows = [dict(zip(keys, (r.id, r.template, r.label, r.type), strict=True)) for r in RELATIONS]
    write_rows(root / "lama" / "relations.jsonl", rows)
    for relation in RELATIONS:
        facts = [fact for fact in world.facts if fact.relation is relation]
        write_facts(relation, facts, root / "lama")
        patterns = [{"pattern": p, "in_pretraining": True} for p in relation.others]
        patterns += [{"pattern": p, "in_pretraining": False} for p in relation.unseen]
        write_rows(root / "prompts" / "pararel" / f"{relation.id}.jsonl", patterns)


def write_facts(relation: Relation, facts: list[Fact], lama: Path) -> None:
    places = {"test": lama / "TREx", "withheld": lama / "withheld"}
    for split, folder in places.items():
        rows = (
            {"uuid": f"{relation.id}-{split}-{i}", "sub_label": fact.subject, "obj_label": fact.object}
            for i, fact in enumerate(f for f in facts if f.split == split)
        )
        write_rows(folder / f"{relation.id}.jsonl", rows)
    for split in ("train", "dev"):
        pairs = ({"sub_label": f.subject, "obj_label": f.object} for f in facts if f.split == split)
        write_rows(lama / "autoprompt" / relation.id / f"{split}.jsonl", pairs)


def draw_actors(world: World, settings: WorldSettings) -> list[str]:
    """First names for the NLU suites, none of them a word of the facts."""
    objects = {word for pool in world.pools.values() for word in pool}
    maker = NameMaker(numpy_generator(f"world-{settings.seed}", "actors"), avoid=objects)
    maker.taken |= {word for names in world.subjects.values() for name in names for word in name.split()}
    return maker.short_names("first name", ACTORS)


def write_task(task: str, casts: dict[str, Cast], settings: WorldSettings, root: Path) -> None:
    """A task in the official files: SuperGLUE's splits, and FewGLUE's 32 rows drawn from its train split."""
    items = {
        part: draw_items(task, casts[part], count, numpy_generator(f"world-{settings.seed}", f"{task} {part}"))
        for part, count in (ROWS | {"train": ROWS["train"] + UNLABELED}).items()
    }
    train, unlabeled = items["train"][: ROWS["train"]], items["train"][ROWS["train"] :]
    full, few = root / "superglue" / task, root / "fewglue" / task
    write_rows(full / "train.jsonl", labelled(task, train))
    write_rows(full / "val.jsonl", labelled(task, items["val"]))
    write_rows(full / "test.jsonl", unlabelled(task, items["test"]))
    write_rows(few / "train.jsonl", labelled(task, train)[:FEW_SHOT])
    write_rows(few / "dev32.jsonl", labelled(task, train)[FEW_SHOT : 2 * FEW_SHOT])
    write_rows(few / "val.jsonl", labelled(task, items["val"]))
    write_rows(few / "unlabeled.jsonl", unlabelled(task, unlabeled))


def unlabelled(task: str, items: list[Item]) -> list[Row]:
    context, query = FIELDS[task]
    return [{context: item.context, query: item.query, "idx": i} for i, item in enumerate(items)]


def labelled(task: str, items: list[Item]) -> list[Row]:
    rows = zip(unlabelled(task, items), items, strict=True)
    return [{**row, "label": LABELS[task][item.answer]} for row, item in rows]
