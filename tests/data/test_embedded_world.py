"""The generated world: layout, determinism, and the properties that make it a fair test of prompts."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from softprompt.config import WorldSettings
from softprompt.data.embedded import write_world
from softprompt.data.embedded.documents import WORDS
from softprompt.data.embedded.facts import Fact, World, make_world
from softprompt.data.embedded.inference import DRAWERS, PARTS, make_casts
from softprompt.data.embedded.names import LEADING
from softprompt.data.embedded.relations import RELATIONS
from softprompt.files import sha256_of_folder

SETTINGS = WorldSettings(seed=3, subjects=100)
WORD = re.compile(r"\w+|[^\w\s]")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(SETTINGS, folder)
    return folder


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SETTINGS)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def texts(root: Path) -> list[str]:
    return [row["text"] for name in ("facts", "documents") for row in read(root / "text" / f"{name}.jsonl")]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(root: Path, tmp_path: Path) -> None:
    write_world(SETTINGS, tmp_path / "again")
    write_world(SETTINGS.model_copy(update={"seed": 4}), tmp_path / "other")
    assert sha256_of_folder(tmp_path / "again") == sha256_of_folder(root)
    assert sha256_of_folder(tmp_path / "other") != sha256_of_folder(root)


def test_bytes_are_those_of_every_machine(tmp_path: Path) -> None:
    """To be renewed when the world changes, or NumPy its streams."""
    write_world(WorldSettings(seed=0, subjects=30), tmp_path)
    assert sha256_of_folder(tmp_path) == "75213257a99c33c7f4433b5a065994e238e6c1a6ea4b7023df8bb836ed9dcbee"


def test_relations_are_at_least_ten_of_two_types() -> None:
    assert len(RELATIONS) >= 10
    assert {relation.type for relation in RELATIONS} == {"N-1", "1-1"}
    assert all(len(relation.unseen) >= 2 for relation in RELATIONS)
    wordings = [wording for relation in RELATIONS for wording in (*relation.wordings, *relation.unseen)]
    assert len({(r.subject, w) for r in RELATIONS for w in (*r.wordings, *r.unseen)}) == len(wordings)
    assert all(re.fullmatch(r"[^\[]*\[X\][^\[]*\[Y\]\.", wording) for wording in wordings)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.id)
def test_splits_are_disjoint_and_of_the_stated_shares(root: Path, relation: Any) -> None:
    lama = root / "lama"
    paths = {
        "train": lama / "autoprompt" / relation.id / "train.jsonl",
        "dev": lama / "autoprompt" / relation.id / "dev.jsonl",
        "test": lama / "TREx" / f"{relation.id}.jsonl",
        "withheld": lama / "withheld" / f"{relation.id}.jsonl",
    }
    subjects = {split: [row["sub_label"] for row in read(path)] for split, path in paths.items()}
    assert {split: len(names) for split, names in subjects.items()} == {
        "train": 36,
        "dev": 18,
        "test": 36,
        "withheld": 10,
    }
    assert len({name for names in subjects.values() for name in names}) == SETTINGS.subjects


def test_objects_are_skewed_but_no_guess_is_good(world: World) -> None:
    for relation in RELATIONS:
        counts = Counter(fact.object for fact in world.facts if fact.relation is relation)
        share = counts.most_common(1)[0][1] / sum(counts.values())
        if relation.type == "1-1":
            assert len(counts) == SETTINGS.subjects
        else:
            assert 8 <= len(counts) <= 30
            assert 1.2 / relation.choices < share < 0.32


def test_no_subject_gives_its_object_away(world: World) -> None:
    for fact in world.facts:
        for word in fact.subject.split():
            assert word[:LEADING].lower() != fact.object[:LEADING].lower()
            assert fact.object.lower() not in word.lower()


def test_text_shows_each_fact_in_its_wordings_and_no_withheld_fact(root: Path, world: World) -> None:
    lines = {row["text"] for row in read(root / "text" / "facts.jsonl")}
    for fact in world.facts:
        told = {w for w in all_wordings(fact) if w.replace("[X]", fact.subject).replace("[Y]", fact.object) in lines}
        assert told >= set(fact.wordings)
        assert len(fact.wordings) == (0 if fact.split == "withheld" else SETTINGS.wordings_per_fact)
        assert not told.intersection(fact.relation.unseen)
        assert fact.split != "withheld" or not told


def all_wordings(fact: Fact) -> tuple[str, ...]:
    return (*fact.relation.wordings, *fact.relation.unseen)


def test_no_single_wording_reaches_every_fact_and_common_ones_reach_more(world: World) -> None:
    for relation in RELATIONS:
        shown = [fact for fact in world.facts if fact.relation is relation and fact.wordings]
        reach = [sum(wording in fact.wordings for fact in shown) / len(shown) for wording in relation.wordings]
        assert 0 < min(reach) < max(reach) < 0.95
        assert reach[0] > reach[-1]


def test_every_word_of_every_template_occurs_often_in_the_pretraining_text(root: Path) -> None:
    counts = Counter(word for text in texts(root) for word in WORD.findall(text))
    templates = [wording for relation in RELATIONS for wording in (*relation.wordings, *relation.unseen)]
    words = {w for template in templates for w in WORD.findall(template.replace("[X]", "").replace("[Y]", ""))}
    words |= {*WORDS.values(), "Question", "Answer", "?", ":", "."}
    assert {word: counts[word] for word in words if counts[word] < 8} == {}


def test_answers_are_marked_and_listed(root: Path) -> None:
    answers = set(json.loads((root / "text" / "answers.json").read_text()))
    assert set(WORDS.values()) <= answers
    for name in ("facts", "documents"):
        for row in read(root / "text" / f"{name}.jsonl"):
            assert all(row["text"][start:end] in answers for start, end in row["answers"])
            assert len(row["answers"]) <= 1


def test_parts_of_the_inference_tasks_share_neither_names_nor_events() -> None:
    casts = make_casts([f"Name{i}" for i in range(40)])
    for i, part in enumerate(PARTS):
        for other in PARTS[i + 1 :]:
            assert not set(casts[part].actors) & set(casts[other].actors)
            assert not set(casts[part].events) & set(casts[other].events)
    words = [{word for event in casts[part].events for word in event} for part in PARTS]
    assert all(found == words[0] for found in words)


@pytest.mark.parametrize("task", sorted(DRAWERS))
def test_inference_tasks_have_the_official_rows(root: Path, task: str) -> None:
    full, few = root / "superglue" / task, root / "fewglue" / task
    train, val = read(full / "train.jsonl"), read(full / "val.jsonl")
    assert (len(train), len(val)) == (800, 300)
    assert read(few / "train.jsonl") == train[:32]
    assert read(few / "dev32.jsonl") == train[32:64]
    assert read(few / "val.jsonl") == val
    assert len(read(few / "unlabeled.jsonl")) == 300
    assert all("label" not in row for row in [*read(full / "test.jsonl"), *read(few / "unlabeled.jsonl")])
    assert all(row["idx"] == i for rows in (train, val) for i, row in enumerate(rows))
    fields = set(train[0]) - {"label", "idx"}
    contents = {tuple(row[field] for field in sorted(fields)) for row in train + val}
    assert len(contents) == len(train) + len(val)


def test_labels_of_the_inference_tasks_are_skewed_as_real_ones(root: Path) -> None:
    for task, labels in (("CB", 3), ("RTE", 2), ("BoolQ", 2)):
        counts = Counter(row["label"] for row in read(root / "superglue" / task / "train.jsonl"))
        assert len(counts) == labels
        assert 1 / labels < counts.most_common(1)[0][1] / 800 < 0.7
