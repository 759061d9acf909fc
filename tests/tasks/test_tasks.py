"""Task definitions: all shipped ones can be asked, and a definition that contradicts itself is refused by name."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from helpers.task_files import FOLDERS, examples_of
from softprompt.config import Kind
from softprompt.errors import UserError
from softprompt.tasks.definition_checks import kinds_of
from softprompt.tasks.load import DEFINITIONS, load_task, nlu_names, read_definition
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import SLOT, Role, Task

NLU = ["boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES: tuple[Role, ...] = get_args(Role)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A prepared folder with one LAMA relation."""
    templates = [
        {"id": "lama", "text": "The capital of {subject} is {mask} .", "source": "LAMA"},
        {"id": "pararel-2", "text": "{mask} is the capital of {subject}.", "source": "ParaRel"},
    ]
    path = tmp_path / "lama" / "P36" / "templates.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"type": "1-1", "templates": templates}))
    return tmp_path


def all_tasks(prepared: Path) -> list[Task]:
    nlu = [load_task(suite, name, prepared) for suite in ("superglue", "fewglue") for name in NLU]
    return [*nlu, load_task("lama", "P36", prepared)]


def test_shipped_definitions() -> None:
    assert nlu_names() == NLU


def test_every_task_can_be_asked_of_every_kind_in_every_role(prepared: Path) -> None:
    for task in all_tasks(prepared):
        for kind in KINDS:
            for role in ROLES:
                assert task.templates(role, kind), (task.key, role, kind)


def test_a_causal_template_has_nothing_to_read_after_its_answer(prepared: Path) -> None:
    for task in all_tasks(prepared):
        for role in ROLES:
            for template in task.templates(role, "causal"):
                _, after = template.text.split("{mask}")
                assert not SLOT.search(after), (task.key, template.id)
                assert len(after.split()) <= 2, (task.key, template.id)


def test_metrics_and_verbalizers_are_complete(prepared: Path) -> None:
    for task in all_tasks(prepared):
        assert set(task.metrics) <= set(METRICS)
        worded = list(task.labels) if task.answer_form == "label" else []
        assert list(task.verbalizer) == worded
        assert len(set(task.verbalizer.values())) == len(worded)


def test_both_suites_share_a_definition(prepared: Path) -> None:
    for name in NLU:
        few = load_task("fewglue", name, prepared)
        assert few.model_copy(update={"suite": "superglue"}) == load_task("superglue", name, prepared)


@pytest.mark.parametrize("name", [name for name in NLU if name != "record"])
def test_definitions_fit_the_real_rows(real_data: Path, name: str, tmp_path: Path) -> None:
    task = load_task("superglue", name, tmp_path)
    split = examples_of(name, real_data / "superglue" / FOLDERS[name] / "val.jsonl", labelled=True)
    assert {row.label for row in split.rows} == set(task.labels)
    assert set(split.rows[0].fields) == set(task.fields)
    for template in task.manual:
        text = template.text.replace("{mask}", "____").replace("{sep}", "").format(**split.rows[0].fields)
        assert text.count("____") == 1


PAPER_TEMPLATES = {
    "boolq": "{passage}. {prompt} Question: {question}? Answer: {mask}.",
    "cb": "{premise} {sep} {hypothesis}? {prompt} answer: {mask}",
    "multirc": "{passage}. Question: {question}? Is it {answer}? {prompt} {mask}.",
    "rte": "{premise} Question: {claim}? {prompt} Answer: {mask}.",
    "wic": "{sentence1} {sep} {sentence2} {prompt} *{word} *? {mask}",
}


@pytest.mark.parametrize("name", PAPER_TEMPLATES)
def test_p_tuning_asks_as_its_paper_did(name: str, tmp_path: Path) -> None:
    assert load_task("fewglue", name, tmp_path).p_tuning[0].text == PAPER_TEMPLATES[name]


# What pet/pvp.py joins for such a row, `____` for its masks and without the blanks that it leaves inside quotes.
CHOICES = {"premise": "The bell rang.", "choice1": "He woke.", "choice2": "It fell.", "idx": 0}
PRONOUN = {
    "text": "Ann saw Eve when she left.",
    "target": {"span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 4},
    "idx": 0,
}
SEEN = "Ann saw Eve when *she* left."
PET_WROTE: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "copa",
        CHOICES | {"question": "effect"},
        [
            '"he woke" or "it fell"? The bell rang, so ____.',
            "he woke or it fell? The bell rang, so ____.",
        ],
    ),
    (
        "copa",
        CHOICES | {"question": "cause"},
        [
            '"he woke" or "it fell"? The bell rang because ____.',
            "he woke or it fell? The bell rang because ____.",
        ],
    ),
    (
        "wsc",
        PRONOUN,
        [
            f"{SEEN} The pronoun '*she*' refers to ____.",
            f"{SEEN} In the previous sentence, the pronoun '*she*' refers to ____.",
            f"{SEEN} Question: In the passage above, what does the pronoun '*she*' refer to? Answer: ____.",
        ],
    ),
]


@pytest.mark.parametrize(("name", "row", "written"), PET_WROTE)
def test_pets_patterns_are_what_pet_wrote(name: str, row: dict[str, Any], written: list[str], tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(row) + "\n")
    fields = examples_of(name, path, labelled=False).rows[0].fields
    task = load_task("superglue", name, tmp_path)
    patterns = [template for template in task.manual if template.source.startswith("PET,")]
    assert [template.text.format(mask="____", **fields) for template in patterns] == written


def test_p_tuning_asks_copa_without_pets_comma(tmp_path: Path) -> None:
    assert [template.text for template in load_task("superglue", "copa", tmp_path).p_tuning] == [
        "{option1} or {option2}? {stem} {connective} {prompt} {mask}."
    ]


def test_lama_slots_are_the_papers_and_then_those_with_the_subject_first(prepared: Path) -> None:
    task = load_task("lama", "P36", prepared)
    assert [template.text for template in task.templates("p_tuning", "masked")] == [
        "{prompt} {subject} {prompt} {mask} {prompt}",
        "{subject} {prompt} {mask} {prompt}",
    ]
    assert [template.text for template in task.templates("p_tuning", "causal")] == [
        "{prompt} {subject} {prompt} {mask}",
        "{subject} {prompt} {mask}",
    ]


def test_a_relation_asks_causal_models_only_what_they_can_complete(prepared: Path) -> None:
    task = load_task("lama", "P36", prepared)
    assert [template.id for template in task.templates("manual", "masked")] == ["lama", "pararel-2"]
    assert [template.id for template in task.templates("manual", "causal")] == ["lama"]


def test_kinds_of_a_template() -> None:
    assert kinds_of("{subject} plays in {mask} position.") == ["masked", "causal", "seq2seq"]
    assert kinds_of("{mask} borders {subject}.") == ["masked", "seq2seq"]


@pytest.mark.parametrize("name", ["qqp", "lama", "RTE"])
def test_an_unknown_task_is_refused_with_the_valid_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no task '{name}' with templates; valid ones: boolq, cb, copa"):
        load_task("superglue", name, tmp_path)


def test_an_unprepared_relation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"P19.templates\.json: no such file.*prepare@lama"):
        load_task("lama", "P19", tmp_path)


def manual(**changes: object) -> dict[str, object]:
    return {"manual": [{"id": "odd", "text": "{premise} {mask}", "source": "here", **changes}]}


ODD = r"manual template 'odd' .*: "
CONTRADICTIONS: dict[str, tuple[dict[str, object], str]] = {
    "unknown slot": (
        manual(text="{passage} {mask}"),
        ODD + r"unknown slot \{passage\}; valid ones: premise, hypothesis",
    ),
    "no mask": (manual(text="{premise}"), ODD + r"0 slots \{mask\}; expected exactly one"),
    "two masks": (manual(text="{premise} {mask} {mask}"), ODD + r"2 slots \{mask\}"),
    "no field": (manual(text="Is it so? {mask}"), ODD + "no field"),
    "stray brace": (manual(text="{premise} {mask} }"), ODD + "a brace that belongs to no"),
    "format specification": (manual(text="{premise!r} {mask}"), ODD + "a brace that belongs to no"),
    "prompt in manual": (manual(text="{premise} {prompt} {mask}"), ODD + r"a \{prompt\}; expected none"),
    "causal cannot read on": (manual(text="{mask}, {premise}"), ODD + "a slot after"),
    "unknown kind": (manual(kinds=["encoder"]), r"`manual.0.kinds.0` is 'encoder'.*'masked'"),
    "no kinds": (manual(kinds=[]), ODD + "no kinds"),
    "no source": (
        {"manual": [{"id": "odd", "text": "{premise} {mask}"}]},
        "`manual.0.source`.*Field required",
    ),
    "p_tuning without prompt": (
        {"p_tuning": [{"id": "odd", "text": "{premise} {mask}", "source": "here"}]},
        r"p_tuning template 'odd' .*: no \{prompt\}",
    ),
    "prompt in plain": (
        {"plain": {"id": "odd", "text": "{premise} {prompt} {mask}", "source": "here"}},
        r"plain template 'odd' .*: a \{prompt\}",
    ),
    "two templates of one id": (
        {"manual": [{"id": "odd", "text": "{premise} {mask}", "source": "here"}] * 2},
        ODD + "another template has this id",
    ),
    "label without word": ({"verbalizer": {"entailment": "Yes"}}, r"`verbalizer` has \['entailment'\]; expected"),
    "one word for two labels": (
        {"verbalizer": {"entailment": "Yes", "not_entailment": "Yes"}},
        ".*expected different single words",
    ),
    "two words": (
        {"verbalizer": {"entailment": "Yes", "not_entailment": "Not so"}},
        ".*expected different single words",
    ),
    "unquoted yes": ({"verbalizer": {"entailment": True, "not_entailment": False}}, ".*is True.*quote Yes"),
    "unknown metric": ({"metrics": ["bleu"]}, r"`metrics` is \['bleu'\]; expected some of accuracy"),
    "score of no metric": (
        {"metrics": ["accuracy"], "score": ["accuracy", "em"]},
        r"`score` is \['accuracy', 'em'\]; expected some of `metrics`: accuracy",
    ),
    "unknown head field": ({"head_fields": ["passage"]}, "`head_fields` is .*one or two of claim"),
    "candidates of labels": ({"candidates": ["premise"]}, r"`candidates` is .*none where answer_form is label"),
    "no manual template": ({"manual": []}, "`manual`, `p_tuning`: expected at least one"),
    "no version": ({"version": None}, "`version` is None"),
    "unknown key": ({"licence": "free"}, "`licence` is 'free'"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradictory_definition_is_refused_by_file_and_template(case: str, tmp_path: Path) -> None:
    changes, message = CONTRADICTIONS[case]
    content: dict[str, Any] = yaml.safe_load((DEFINITIONS / "rte.yaml").read_text())
    path = tmp_path / "rte.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    with pytest.raises(UserError, match=rf"rte\.yaml: {message}"):
        read_definition(path, "superglue", "rte")


@pytest.mark.parametrize("text", ["", "- a list", "fields: [", "just text"])
def test_a_file_that_is_no_definition_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rte.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"rte\.yaml.* (not a task definition|not YAML)"):
        read_definition(path, "superglue", "rte")
