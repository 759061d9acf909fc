"""Prompts of words beside the manual templates: mined, paraphrased, read from files, and where they end up."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data.mining import middle_wording, mined_wordings
from softprompt.data.paraphrases import paraphrases
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split, read_manifest
from softprompt.errors import UserError
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.tasks.load import load_task


@pytest.mark.parametrize(
    ("text", "wording"),
    [
        ("Ann Lee was born in Rome.", "{subject} was born in {mask}."),
        ("In short, Rome is the  home of Ann Lee!", "{mask} is the home of {subject}."),
        ("Ann Lee's Rome", "{subject}'s {mask}."),
        ("Ann Lee, Rome", ""),  # no word between them
        ("Ann Leeds was born in Rome.", ""),  # another name
        ("Ann Lee was born in Romeo.", ""),
        ("Ann Lee {was} in Rome.", ""),  # would read as a slot
    ],
)
def test_a_mined_prompt_is_what_stands_between_the_names(text: str, wording: str) -> None:
    assert middle_wording(text, ("Ann Lee", "Rome")) == wording


def test_common_prompts_come_first_and_a_fact_counts_for_each_of_its_relations() -> None:
    facts = {"born": [("Ann", "Rome"), ("Bob", "Oslo")], "died": [("Ann", "Rome")], "none": []}
    texts = ["Ann died in Rome.", "Ann is from Rome.", "Bob is from Oslo.", "Bob is from Rome.", "Ann died in Rome."]
    assert mined_wordings(texts, facts) == {
        "born": ["{subject} died in {mask}.", "{subject} is from {mask}."],
        "died": ["{subject} died in {mask}.", "{subject} is from {mask}."],
        "none": [],
    }


def test_paraphrases_keep_the_slots_and_never_repeat_themselves() -> None:
    for text in ("{subject} was born in {mask}.", "The capital of {subject} is {mask}.", "{subject} plays the {mask}."):
        found = paraphrases(text)
        assert found == paraphrases(text)
        assert len(set(found)) == len(found) > 0
        assert text not in found
        assert all(one.count("{subject}") == one.count("{mask}") == 1 for one in found)
    assert paraphrases("The capital of {subject} is {mask}.")[0] == "{subject}'s capital is {mask}."


def test_the_generated_worlds_prompts_stand_in_its_text_between_train_facts(prepared: Path) -> None:
    texts = [json.loads(line)["text"] for line in (prepared / "lama/text/facts.jsonl").read_text().splitlines()]
    train = load_split(prepared / "lama", "P19", "train")
    prompts = load_task("lama", "P19", prepared).discrete
    mined = [prompt for prompt in prompts if prompt.id.startswith("lpaqa-mine-")]
    assert mined
    assert {re.sub(r"-\d+$", "", prompt.id) for prompt in prompts} == {"lpaqa-mine", "lpaqa-paraphrase"}
    for prompt in mined:
        before = prompt.text.removesuffix(".")
        told = [
            before.replace("{subject}", subject).replace("{mask}", label)
            for subject, label in zip(train["subject"], train["label"], strict=True)
        ]
        assert any(one in text for one in told for text in texts), prompt.text


def write(path: Path, *rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two relations, the first with prompts of every source."""
    root = tmp_path / "raw"
    for name in ("P19", "P20"):
        facts = [{"sub_label": f"place {i}", "obj_label": "Rome", "uuid": f"{name}-{i}"} for i in range(4)]
        for path in (f"autoprompt/{name}/train", f"autoprompt/{name}/dev", f"TREx/{name}"):
            write(root / "lama" / f"{path}.jsonl", *facts)
    relations = [{"relation": name, "template": f"[X] {name} [Y] .", "type": "N-1"} for name in ("P19", "P20")]
    write(root / "lama/relations.jsonl", *relations)
    weights = {"[X] near [Y] .": 0.1, "[Y] left [X] .": 0.5, "[X] near [Y].": 0.01}
    rows = [{"template": text, "weight": weight} for text, weight in weights.items()]
    write(root / "prompts/lpaqa/mine/P19.jsonl", *rows)
    triggers = [{"relation": name, "template": f"[X]vik {name} [Y]."} for name in ("P19", "P30")]
    write(root / "prompts/autoprompt/braces.jsonl", {"relation": "P19", "template": "[X] {near [Y] ."})
    write(root / "prompts/autoprompt/facts_bert.jsonl", *triggers)
    return root


def prepare(raw: Path, out: Path) -> Path:
    prepare_suite("lama", SuiteSettings(source="local", path=str(raw)), WorldSettings(), Paths(out))
    return Paths(out).prepared


def test_prompts_of_files_are_read_heaviest_first_with_their_source(raw: Path, tmp_path: Path) -> None:
    folder = prepare(raw, tmp_path / "prepared")
    found = [(one.id, one.text, one.source, one.kinds) for one in load_task("lama", "P19", folder).discrete]
    assert found == [
        ("lpaqa-mine-1", "{mask} left {subject} .", "LPAQA, mine", ("masked", "seq2seq")),
        ("lpaqa-mine-2", "{subject} near {mask} .", "LPAQA, mine", ("masked", "causal", "seq2seq")),
        (
            "trigger-facts_bert",
            "{subject}vik P19 {mask}.",
            "AutoPrompt, facts_bert.jsonl",
            ("masked", "causal", "seq2seq"),
        ),
    ]
    published = build_method("autoprompt_published", {"triggers": "facts_bert"})
    tasks = [load_task("lama", name, folder) for name in ("P19", "P20")]
    assert [[one.id for one in published.templates(task, "causal")] for task in tasks] == [["trigger-facts_bert"], []]
    assert tasks[1].discrete == ()
    account = read_manifest(folder / "lama")["tasks"]["P19"]["raw"]["prompts/autoprompt/facts_bert.jsonl"]
    assert (account["read"], account["dropped"]) == (2, {"of another relation": 1})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"relation": "P19", "template": "[X] [Y]"}, r"facts_bert.jsonl:3: relation P19 has a prompt already"),
        ({"relation": "P20", "template": "[X] here"}, r"facts_bert.jsonl:3: field `template` .* expected a sentence"),
        ({"template": "[X] [Y]"}, r"facts_bert.jsonl:3: field `relation` is missing"),
    ],
)
def test_a_wrong_trigger_is_refused_and_nothing_is_written(
    raw: Path, tmp_path: Path, row: dict[str, str], expected: str
) -> None:
    path = raw / "prompts/autoprompt/facts_bert.jsonl"
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    with pytest.raises(UserError, match=expected):
        prepare(raw, tmp_path / "prepared")
    assert not Paths(tmp_path / "prepared").suite("lama").exists()


def test_real_prompts_of_every_source(real_data: Path, tmp_path: Path) -> None:
    settings = SuiteSettings(source="local", path=str(real_data), tasks=("P19",))
    prepare_suite("lama", settings, WorldSettings(), Paths(tmp_path))
    prompts = {prompt.id: prompt.text for prompt in load_task("lama", "P19", Paths(tmp_path).prepared).discrete}
    rows = [json.loads(line) for line in (real_data / "prompts/lpaqa/mine/P19.jsonl").read_text().splitlines()]
    heaviest = max(rows, key=lambda row: row["weight"])["template"]
    assert prompts["lpaqa-mine-1"] == heaviest.replace("[X]", "{subject}").replace("[Y]", "{mask}")
    assert sum(name.startswith("trigger-fact_retrieval") for name in prompts) == 2
    assert sum(name.startswith("lpaqa-") for name in prompts) > 20
