"""Text made of real facts: what is told, in which wordings, and what is withheld, on a folder made by hand."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from helpers.prepared_tables import prepared_splits, prepared_table
from softprompt.config import SuiteSettings, TextSettings, WorldSettings
from softprompt.data import prepared
from softprompt.data.fact_splits import split_for_text
from softprompt.data.facts_text import Wording, draw_wordings
from softprompt.data.passages import LONGEST, documents_of
from softprompt.data.prepare import prepare_suite
from softprompt.errors import UserError
from softprompt.files import sha256_of_folder
from softprompt.paths import Paths
from softprompt.tasks.template_families import family_of

WORLD = WorldSettings()
SPLITS = ("train", "dev", "test")
PASSAGE = "A comet is a small body of ice. It has a tail! " * 12


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def fact(number: int, city: str = "") -> dict[str, str]:
    return {"sub_label": f"place {number}", "obj_label": city or ("Rome", "Oslo", "Lima")[number % 3]}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """P19 with all files and patterns, a pair in train and test, and objects no token can be; P47 with test only."""
    root = tmp_path / "raw"
    templates = {"P19": "[X] was born in [Y] .", "P47": "[X] shares border with [Y] ."}
    relations = [{"relation": name, "template": text, "type": "N-1"} for name, text in templates.items()]
    write(root / "lama/relations.jsonl", *relations)
    odd = [fact(300, "New York"), fact(301, "U2"), fact(302, "Liège")]
    write(root / "lama/autoprompt/P19/train.jsonl", *map(fact, range(60)), *odd)
    write(root / "lama/autoprompt/P19/dev.jsonl", *map(fact, range(60, 80)))
    tests = [*map(fact, range(80, 120)), *map(fact, range(10)), fact(81, "Lima")]
    write(root / "lama/TREx/P19.jsonl", *({**one, "uuid": f"a{i}"} for i, one in enumerate(tests)))
    write(root / "lama/TREx/P47.jsonl", *({**fact(i), "uuid": f"b{i}"} for i in range(50)))
    patterns = [{"pattern": f"[X] is {word} of [Y]."} for word in ("from", "a child", "native", "a son", "one", "any")]
    write(root / "prompts/pararel/P19.jsonl", {"pattern": "[X] was born in [Y]."}, *patterns)
    mined = ["[X] near [Y] .", "[Y] was left by [X] .", "[X] shares border with [Y] .", "[X] at [Y] .", "[X] by [Y] ."]
    write(
        root / "prompts/lpaqa/mine/P19.jsonl",
        *({"template": text, "weight": weight} for text, weight in zip(mined, (0.1, 0.5, 0.3, 0.01, 0.0), strict=True)),
    )
    write(root / "superglue/BoolQ/train.jsonl", {"question": "is it", "passage": PASSAGE, "idx": 0, "label": True})
    return root


def settings(raw: Path, **text: Any) -> SuiteSettings:
    return SuiteSettings(source="local", path=str(raw), text=TextSettings(**text))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "text" / "facts.jsonl").read_text().splitlines()]


def facts_of(folder: Path, relation: str) -> dict[str, list[tuple[str, str]]]:
    paths = Paths(folder.parents[2])
    names = prepared_splits(paths, "lama", relation)
    tables = {split: prepared_table(paths, "lama", relation, split) for split in names}
    return {split: list(zip(table["subject"], table["label"], strict=True)) for split, table in tables.items()}


@pytest.fixture
def folder(raw: Path, tmp_path: Path) -> Path:
    prepare_suite("lama", settings(raw, withheld=0.2), WORLD, Paths(tmp_path))
    return Paths(tmp_path).suite("lama")


def test_every_fact_is_told_but_the_withheld_ones(folder: Path) -> None:
    told = defaultdict(set)
    for line in lines_of(folder):
        told[line["relation"]].add((line["subject"], line["label"]))
    for relation in ("P19", "P47"):
        facts = facts_of(folder, relation)
        expected = {one for split in SPLITS for one in facts[split] if one[1] in {"Rome", "Oslo", "Lima"}}
        assert told[relation] == expected
        subjects = {subject for split in SPLITS for subject, _ in facts[split]}
        assert facts["withheld"]
        assert not subjects & {subject for subject, _ in facts["withheld"]}
        assert len(set(facts["withheld"])) == len(facts["withheld"])
    answers = set(json.loads((folder / "text" / "answers.json").read_text()))
    assert answers == {"Rome", "Oslo", "Lima"}


def test_a_share_of_the_subjects_is_withheld_and_no_fact_is_lost(folder: Path) -> None:
    facts = facts_of(folder, "P19")
    subjects = {subject for split in facts for subject, _ in facts[split]}
    assert len(subjects) == 123
    assert len({subject for subject, _ in facts["withheld"]}) == round(0.2 * 123)
    assert len({one for split in facts for one in facts[split]}) == 124  # place 81 has two objects


def test_train_and_dev_that_have_no_file_come_from_the_test_facts(folder: Path) -> None:
    sizes = {split: len(facts) for split, facts in facts_of(folder, "P47").items()}
    assert sizes == {"train": 16, "dev": 8, "test": 16, "withheld": 10}
    assert sum(map(len, facts_of(folder, "P19").values())) == 60 + 3 + 20 + 51 - repeated_withheld(folder)


def repeated_withheld(folder: Path) -> int:
    """Pairs of places 0 to 9 stand in train and test; withheld, each counts once."""
    return sum(int(subject.split()[1]) < 10 for subject, _ in facts_of(folder, "P19")["withheld"])


def test_only_missing_splits_are_carved() -> None:
    tables = {
        split: pd.DataFrame({"id": [f"{split}{i}" for i in range(10)], "subject": [f"{split} {i}" for i in range(10)]})
        for split in ("dev", "test")
    }
    tables = {split: table.assign(label="Rome") for split, table in tables.items()}
    found = split_for_text("P190", tables, TextSettings(withheld=0.0))
    assert {split: len(table) for split, table in found.items()} == {"train": 4, "dev": 10, "test": 6}
    assert set(found["train"]["id"]) | set(found["test"]["id"]) == set(tables["test"]["id"])


def test_lines_are_their_templates_filled_in(folder: Path) -> None:
    content = json.loads((folder / "P19" / "templates.json").read_text())["templates"]
    templates = {template["id"]: template["text"] for template in content}
    for line in (line for line in lines_of(folder) if line["relation"] == "P19"):
        filled = templates[line["template"]].replace("{subject}", line["subject"]).replace("{mask}", line["label"])
        assert line["text"] == filled
        ((start, end),) = line["answers"]
        assert line["text"][start:end] == line["label"]


def test_a_fact_is_told_in_as_many_wordings_as_asked(raw: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        prepare_suite("lama", settings(raw, wordings_per_fact=count), WORLD, Paths(tmp_path))
        lines = [line for line in lines_of(Paths(tmp_path).suite("lama")) if line["relation"] == "P19"]
        wordings = Counter((line["subject"], line["label"]) for line in lines)
        assert set(wordings.values()) == {count}
        assert len({(line["subject"], line["label"], line["template"]) for line in lines}) == len(lines)


def test_a_template_that_can_never_be_told_is_not_asked(raw: Path, tmp_path: Path) -> None:
    texts: dict[int, bytes] = {}
    for count, backward in ((1, []), (2, ["{mask} was left by {subject} ."])):
        prepare_suite("lama", settings(raw, wordings_per_fact=count), WORLD, Paths(tmp_path))
        content = json.loads((Paths(tmp_path).suite("lama") / "P19" / "templates.json").read_text())["templates"]
        assert [one["text"] for one in content if one["text"].startswith("{mask}")] == backward
        texts[count] = (Paths(tmp_path).suite("lama") / "text" / "facts.jsonl").read_bytes()
    assert b"was left by" not in texts[1]
    assert b"was left by" in texts[2]


def test_lpaqas_heaviest_prompts_are_templates_and_shared_ones_are_not_told(folder: Path) -> None:
    content = json.loads((folder / "P19" / "templates.json").read_text())["templates"]
    assert [template["id"] for template in content][-3:] == [f"lpaqa-mine-{number}" for number in (1, 2, 3)]
    assert [template["text"] for template in content][-3:] == [
        "{mask} was left by {subject} .",
        "{subject} shares border with {mask} .",
        "{subject} near {mask} .",
    ]
    account = prepared.read_manifest(folder)["tasks"]["P19"]["raw"]["prompts/lpaqa/mine/P19.jsonl"]
    assert (account["read"], account["dropped"]) == (5, {"not among the 3 of highest weight": 2})
    told = {line["template"] for line in lines_of(folder) if line["relation"] == "P19"}
    # The wording of P47 is not told of P19; of ParaRel's six the last is kept out, of LPAQA's three the last.
    assert told <= {"lama", *(f"pararel-{line}" for line in range(2, 7)), "lpaqa-mine-1"}


def test_the_first_wording_can_be_asked_of_a_causal_model() -> None:
    wordings = [
        Wording("a", "{mask} of {subject}"),
        Wording("b", "{subject} in {mask}"),
        Wording("c", "{subject} {mask}"),
    ]
    rng = np.random.default_rng(0)
    first = Counter(draw_wordings(wordings, 1, rng)[0].id for _ in range(3000))
    assert set(first) == {"b", "c"}
    assert first["b"] / 3000 == pytest.approx(0.6, abs=0.03)  # 1/2 against 1/3
    pairs = [draw_wordings(wordings, 2, rng) for _ in range(200)]
    assert all(pair[0].forward and len({one.id for one in pair}) == 2 for pair in pairs)
    assert {pair[1].id for pair in pairs} == {"a", "b", "c"}
    assert {one.id for one in draw_wordings(wordings, 9, rng)} == {"a", "b", "c"}


def test_the_same_settings_give_the_same_bytes_and_another_seed_other_ones(raw: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        prepare_suite("lama", settings(raw, seed=seed), WORLD, Paths(tmp_path / name))
    one, two, other = (sha256_of_folder(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two != other


def test_documents_are_whole_sentences_of_bounded_length() -> None:
    documents = list(documents_of(PASSAGE))
    assert " ".join(documents) == PASSAGE.strip()
    assert all(len(document) <= LONGEST and document[-1] in ".!" for document in documents)
    endless = "word " * 200
    assert " ".join(documents_of(endless)) == endless.strip()
    assert max(map(len, documents_of(endless))) <= LONGEST


def test_a_family_is_an_id_without_its_number() -> None:
    assert [family_of(name) for name in ("lama", "pararel-12", "lpaqa-mine-1")] == ["lama", "pararel", "lpaqa-mine"]


def test_without_prose_or_with_a_broken_prompt_nothing_is_written(raw: Path, tmp_path: Path) -> None:
    (raw / "superglue/BoolQ/train.jsonl").unlink()
    with pytest.raises(UserError, match=r"suites\.lama\.text: there is no passage: put BoolQ"):
        prepare_suite("lama", settings(raw), WORLD, Paths(tmp_path))
    write(raw / "prompts/lpaqa/mine/P19.jsonl", {"template": "[X] near [Y] .", "weight": "much"})
    with pytest.raises(UserError, match=r"P19\.jsonl:1: field `weight` is 'much'; expected a number of at least 0"):
        prepare_suite("lama", settings(raw), WORLD, Paths(tmp_path))
    write(raw / "extra/xquad/xquad.en.json", {"data": [{}]})
    write(raw / "prompts/lpaqa/mine/P19.jsonl", {"template": "[X] near [Y] .", "weight": 1})
    with pytest.raises(UserError, match=r"xquad\.en\.json: not a SQuAD file \(KeyError: 'paragraphs'\)"):
        prepare_suite("lama", settings(raw), WORLD, Paths(tmp_path))
    assert not Paths(tmp_path).suite("lama").exists()
