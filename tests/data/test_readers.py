"""Readers: official files pass with their official counts, and every kind of broken row is refused by name."""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.task_files import FOLDERS, examples_of
from softprompt.data.examples import REPEATED_ROW
from softprompt.data.formats.multirc import EMPTY_ANSWER
from softprompt.data.formats.wsc import PRONOUN_OFF_BY_ONE
from softprompt.data.lama import read_facts, read_patterns, read_relations
from softprompt.data.rows import RawSplit
from softprompt.errors import UserError

Json = dict[str, Any]

VALID: dict[str, Json] = {
    "boolq": {"question": "is ice cold", "passage": "Ice is cold.", "idx": 7, "label": True},
    "cb": {"premise": "It rained.", "hypothesis": "it was wet.", "label": "neutral", "idx": 7},
    "rte": {"premise": "It rained.", "hypothesis": "It was wet.", "label": "not_entailment", "idx": 7},
    "copa": {
        "premise": "The grass was wet.",
        "choice1": "It rained.",
        "choice2": "It snowed.",
        "question": "cause",
        "label": 0,
        "idx": 7,
    },
    "multirc": {
        "idx": 7,
        "passage": {
            "text": "Ann met Bob.",
            "questions": [
                {
                    "question": "Who met Bob?",
                    "idx": 9,
                    "answers": [{"text": "Ann", "idx": 11, "label": 1}, {"text": "Eve", "idx": 12, "label": 0}],
                }
            ],
        },
    },
    "wic": {
        "word": "bank",
        "sentence1": "The banks were open.",
        "sentence2": "A bank of sand.",
        "start1": 4,
        "end1": 9,
        "start2": 2,
        "end2": 6,
        "label": False,
        "idx": 7,
    },
    "wsc": {
        "text": "Ann's dog barked because it , the dog, was afraid.",
        "target": {"span1_text": "Ann", "span1_index": 0, "span2_text": "it", "span2_index": 4},
        "label": False,
        "idx": 7,
    },
    "record": {
        "source": "CNN",
        "passage": {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]},
        "qas": [{"query": "@placeholder met Bob", "answers": [{"start": 0, "end": 2, "text": "Ann"}], "idx": 3}],
        "idx": 7,
    },
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def changed(row: Json, *path: str | int, to: object) -> Json:
    """A copy of the row with one value replaced."""
    result = copy.deepcopy(row)
    place: Any = result
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return result


def without(row: Json, *path: str | int) -> Json:
    result = copy.deepcopy(row)
    place: Any = result
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return result


# --- what official files hold -------------------------------------------------------------------------------------

SUPERGLUE_COUNTS = {
    "boolq": {"train_subset2000": (2000, 2000), "val": (3270, 3270), "test": (3245, 3245)},
    "cb": {"train": (250, 250), "val": (56, 56), "test": (250, 250)},
    "copa": {"train": (400, 400), "val": (100, 100), "test": (500, 500)},
    "multirc": {"train": (456, 27243), "val": (83, 4848), "test": (166, 9693)},
    "rte": {"train": (2490, 2490), "val": (277, 277), "test": (3000, 3000)},
    "wic": {"train": (5428, 5428), "val": (638, 638), "test": (1400, 1400)},
    "wsc": {"train": (554, 554), "val": (104, 104), "test": (146, 146)},
}
FEWGLUE_COUNTS = {
    "boolq": {"train": 32, "dev32": 32, "val": 3270},
    "cb": {"train": 32, "dev32": 32, "val": 56},
    "copa": {"train": 32, "dev32": 32, "val": 100, "unlabeled": 400},
    "multirc": {"train": 154, "dev32": 167, "val": 4848, "unlabeled": 27243},
    "record": {"train": 32, "dev32": 32},
    "rte": {"train": 32, "dev32": 32, "val": 277},
    "wic": {"train": 32, "dev32": 32, "val": 638, "unlabeled": 5428},
    "wsc": {"train": 32, "dev32": 32, "val": 104, "unlabeled": 554},
}


@pytest.mark.parametrize("task", SUPERGLUE_COUNTS)
def test_superglue_has_its_official_counts(real_data: Path, task: str) -> None:
    for name, expected in SUPERGLUE_COUNTS[task].items():
        path = real_data / "superglue" / FOLDERS[task] / f"{name}.jsonl"
        split = examples_of(task, path, labelled=name != "test")
        assert (split.lines, split.read) == expected
        assert split.read == len(split.rows) + sum(split.dropped.values())
        assert len({row.id for row in split.rows}) == len(split.rows)


@pytest.mark.parametrize("task", FEWGLUE_COUNTS)
def test_fewglue_has_its_official_counts(real_data: Path, task: str) -> None:
    folder = real_data / "fewglue" / FOLDERS[task]
    read = {
        path.stem: examples_of(task, path, labelled=path.stem != "unlabeled").read for path in folder.glob("*.jsonl")
    }
    assert read == FEWGLUE_COUNTS[task]


def test_multirc_has_its_official_questions_and_loses_its_empty_answers(real_data: Path) -> None:
    expected = {"train": (456, 5131, 3), "val": (83, 953, 0), "test": (166, 1820, 1)}
    for name, counts in expected.items():
        path = real_data / "superglue" / "MultiRC" / f"{name}.jsonl"
        split = examples_of("multirc", path, labelled=name != "test")
        questions = {row.id.rpartition("-")[0] for row in split.rows}
        assert (len({row.group for row in split.rows}), len(questions), split.dropped[EMPTY_ANSWER]) == counts


def test_one_official_wsc_row_is_mended_and_counted(real_data: Path) -> None:
    split = examples_of("wsc", real_data / "superglue/WSC/val.jsonl", labelled=True)
    assert split.repaired == Counter({PRONOUN_OFF_BY_ONE: 1})
    assert "want to use *it* ," in next(row for row in split.rows if row.id == "val-42").fields["marked"]


def test_the_repeated_row_of_fewglue_wic_is_dropped_and_counted(real_data: Path) -> None:
    split = examples_of("wic", real_data / "fewglue/WiC/unlabeled.jsonl", labelled=False)
    assert split.dropped == Counter({REPEATED_ROW: 1})


def test_lama_has_its_official_counts(real_data: Path) -> None:
    lama = real_data / "lama"
    relations = read_relations(lama / "relations.jsonl")
    assert Counter(relation.type for relation in relations.values()) == {"N-1": 25, "N-M": 19, "1-1": 2}
    counts = {}
    for folder in ("TREx", "TREx_lms_vocab"):
        files = sorted((lama / folder).glob("*.jsonl"))
        facts = [read_facts(path.stem, path, "test", uuids=True) for path in files]
        counts[folder] = (len(files), sum(split.read for split in facts))
    for name in ("train", "dev"):
        files = sorted((lama / "autoprompt").glob(f"*/{name}.jsonl"))
        facts = [read_facts(path.parent.name, path, name, uuids=False) for path in files]
        counts[name] = (len(files), sum(split.read for split in facts))
    expected = {"TREx": (28, 22881), "TREx_lms_vocab": (41, 29411), "train": (38, 26772), "dev": (40, 7055)}
    assert counts == expected


def test_every_pararel_file_holds_lamas_own_wording_which_counts_once(real_data: Path) -> None:
    relations = read_relations(real_data / "lama" / "relations.jsonl")
    read = kept = dropped = 0
    for path in (real_data / "prompts" / "pararel").glob("*.jsonl"):
        templates, account = read_patterns(path, relations[path.stem].template)
        read, kept, dropped = read + account.read, kept + len(templates), dropped + sum(account.dropped.values())
    assert (read, kept, dropped) == (329, 290, 39)


# --- what a row becomes -------------------------------------------------------------------------------------------


def test_copa_fields_fit_into_a_sentence(tmp_path: Path) -> None:
    row = examples_of("copa", write(tmp_path / "val.jsonl", VALID["copa"]), labelled=True).rows[0]
    assert (row.id, row.label) == ("val-7", "choice1")
    assert row.fields["cloze"] == "The grass was wet because"
    assert (row.fields["option1"], row.fields["option2"]) == ("it rained", "it snowed")
    assert row.fields["pet_stem"] == "The grass was wet"
    effect = changed(VALID["copa"], "question", to="effect")
    row = examples_of("copa", write(tmp_path / "val.jsonl", effect), labelled=True).rows[0]
    assert row.fields["cloze"] == "The grass was wet so"
    assert row.fields["pet_stem"] == "The grass was wet,"


def test_multirc_ids_name_paragraph_question_and_answer(tmp_path: Path) -> None:
    split = examples_of("multirc", write(tmp_path / "val.jsonl", VALID["multirc"]), labelled=True)
    assert [(row.id, row.label, row.fields["answer"]) for row in split.rows] == [
        ("val-7-9-11", "1", "Ann"),
        ("val-7-9-12", "0", "Eve"),
    ]
    assert len({row.group for row in split.rows}) == 1


def test_examples_that_share_a_text_are_one_group(tmp_path: Path) -> None:
    rows = [changed(VALID["boolq"], "idx", to=number) for number in range(2)]
    rows.append(changed(changed(VALID["boolq"], "idx", to=2), "passage", to="Ice melts."))
    split = examples_of("boolq", write(tmp_path / "val.jsonl", *rows), labelled=True)
    assert [row.group for row in split.rows] == ["val-0", "val-0", "val-2"]


def test_wsc_spans_may_differ_in_case_and_punctuation(tmp_path: Path) -> None:
    row = examples_of("wsc", write(tmp_path / "val.jsonl", VALID["wsc"]), labelled=True).rows[0]
    assert row.fields["marked"] == "Ann's dog barked because *it* , the dog, was afraid."
    assert row.fields["candidate_text"] == "Ann"


def test_a_pronoun_one_word_beside_its_index_is_found(tmp_path: Path) -> None:
    beside = changed(VALID["wsc"], "target", "span2_index", to=5)
    split = examples_of("wsc", write(tmp_path / "val.jsonl", beside), labelled=True)
    assert split.rows[0].fields["marked"] == "Ann's dog barked because *it* , the dog, was afraid."
    assert split.repaired == Counter({PRONOUN_OFF_BY_ONE: 1})


def test_wic_takes_a_negated_verb(tmp_path: Path) -> None:
    row = changed(changed(VALID["wic"], "sentence1", to="He doesn't."), "word", to="do")
    row = changed(changed(row, "start1", to=3), "end1", to=7)
    assert examples_of("wic", write(tmp_path / "val.jsonl", row), labelled=True).read == 1


def test_boolq_without_idx_counts_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", without(VALID["boolq"], "idx"), without(VALID["boolq"], "idx"))
    assert [row.id for row in examples_of("boolq", path, labelled=True).rows] == ["train-1", "train-2"]


def test_a_missing_last_newline_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "val.jsonl"
    path.write_text(json.dumps(VALID["cb"]))
    assert examples_of("cb", path, labelled=True).read == 1


def test_unlabelled_rows_have_the_empty_label(tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", without(VALID["rte"], "label"))
    assert examples_of("rte", path, labelled=False).rows[0].label == ""


# --- what is refused ----------------------------------------------------------------------------------------------

BROKEN_ROWS = {
    "boolq label as text": (
        "boolq",
        changed(VALID["boolq"], "label", to="true"),
        "`label` is 'true'.*one of false, true",
    ),
    "boolq label as number": ("boolq", changed(VALID["boolq"], "label", to=1), "`label` is 1.*one of false, true"),
    "cb unknown label": ("cb", changed(VALID["cb"], "label", to="maybe"), "`label` is 'maybe'.*\"neutral\""),
    "rte label of cb": ("rte", changed(VALID["rte"], "label", to="neutral"), "`label` is 'neutral'.*not_entailment"),
    "copa label out of range": ("copa", changed(VALID["copa"], "label", to=2), "`label` is 2; expected one of 0, 1"),
    "copa label as boolean": ("copa", changed(VALID["copa"], "label", to=True), "`label` is True; expected one of 0"),
    "copa question": ("copa", changed(VALID["copa"], "question", to="why"), '`question` is \'why\'.*"cause", "effect"'),
    "missing label": ("rte", without(VALID["rte"], "label"), "`label` is missing.*hypothesis, idx, premise"),
    "missing field": ("boolq", without(VALID["boolq"], "passage"), "`passage` is missing"),
    "missing idx": ("cb", without(VALID["cb"], "idx"), "`idx` is missing"),
    "text of wrong type": ("cb", changed(VALID["cb"], "premise", to=5), "`premise` is 5; expected a text, not a int"),
    "null text": ("rte", changed(VALID["rte"], "hypothesis", to=None), "`hypothesis` is None; expected a text"),
    "empty text": ("rte", changed(VALID["rte"], "premise", to="  "), "`premise` is '  '; expected a text that is not"),
    "idx of wrong type": ("rte", changed(VALID["rte"], "idx", to="7"), "`idx` is '7'; expected a whole number"),
    "negative idx": ("rte", changed(VALID["rte"], "idx", to=-1), "`idx` is -1; expected a whole number"),
    "multirc answer label": (
        "multirc",
        changed(VALID["multirc"], "passage", "questions", 0, "answers", 1, "label", to="1"),
        r"`passage.questions\[0\].answers\[1\].label` is '1'; expected one of 0, 1",
    ),
    "multirc no answers": (
        "multirc",
        changed(VALID["multirc"], "passage", "questions", 0, "answers", to=[]),
        r"`passage.questions\[0\].answers` is \[\]; expected a list that is not empty",
    ),
    "multirc passage as text": (
        "multirc",
        changed(VALID["multirc"], "passage", to="Ann"),
        "`passage` is 'Ann'.*object",
    ),
    "multirc answers of wrong type": (
        "multirc",
        changed(VALID["multirc"], "passage", "questions", 0, "answers", to=["Ann"]),
        "expected a list of objects",
    ),
    "multirc answer ids repeated within a line": (
        "multirc",
        changed(VALID["multirc"], "passage", "questions", 0, "answers", 1, "idx", to=11),
        "`idx` is '7-9-11'; expected an id that occurs once",
    ),
    "wic span beyond the sentence": ("wic", changed(VALID["wic"], "end2", to=99), "`end2` is 99.*offset in 3..15"),
    "wic span reversed": ("wic", changed(VALID["wic"], "start1", to=9), "`end1` is 9.*after start1 = 9"),
    "wic span from within a word": ("wic", changed(VALID["wic"], "start1", to=5), "`start1` is 5.*'anks'"),
    "wic span with a blank": ("wic", changed(VALID["wic"], "start1", to=3), "`start1` is 3.*' banks'"),
    "wic span into a word": ("wic", changed(VALID["wic"], "end1", to=7), "`end1` is 7.*'ban'"),
    "wsc candidate beyond the text": (
        "wsc",
        changed(VALID["wsc"], "target", "span1_index", to=40),
        "`target.span1_index` is 40; expected a position among the 10 words",
    ),
    "wsc candidate elsewhere": (
        "wsc",
        changed(VALID["wsc"], "target", "span1_index", to=1),
        "`target.span1_text` is 'Ann'; expected the words at span1_index = 1 .'dog'",
    ),
    "wsc candidate not in the text": (
        "wsc",
        changed(VALID["wsc"], "target", "span1_text", to="Zoe"),
        "`target.span1_text` is 'Zoe'",
    ),
    "wsc pronoun elsewhere": (
        "wsc",
        changed(VALID["wsc"], "target", "span2_index", to=8),
        "`target.span2_text` is 'it'; expected the word at span2_index = 8",
    ),
    "wsc pronoun beyond the text": (
        "wsc",
        changed(VALID["wsc"], "target", "span2_index", to=10),
        "`target.span2_index` is 10",
    ),
    "record answer that does not match": (
        "record",
        changed(VALID["record"], "qas", 0, "answers", 0, "text", to="Bob"),
        r"`qas\[0\].answers\[0\].text` is 'Bob'; expected the passage between its offsets .'Ann'",
    ),
    "record entity beyond the text": (
        "record",
        changed(VALID["record"], "passage", "entities", 1, "end", to=12),
        r"`passage.entities\[1\].end` is 12; expected an offset in 8..11",
    ),
    "record query without placeholder": (
        "record",
        changed(VALID["record"], "qas", 0, "query", to="Who met Bob?"),
        r"`qas\[0\].query` is 'Who met Bob\?'; expected a text with @placeholder",
    ),
    "not an object": ("cb", [1, 2], "a list; expected a JSON object"),
    "half a character": ("cb", changed(VALID["cb"], "premise", to="\ud83d"), "half a character"),
}


@pytest.mark.parametrize("case", BROKEN_ROWS)
def test_a_broken_row_is_refused_by_file_line_and_field(case: str, tmp_path: Path) -> None:
    task, row, message = BROKEN_ROWS[case]
    good = changed(VALID[task], "idx", to=6)
    with pytest.raises(UserError, match=rf"val\.jsonl:2: .*{message}"):
        examples_of(task, write(tmp_path / "val.jsonl", good, row), labelled=True)


@pytest.mark.parametrize("task", [task for task in VALID if task != "multirc"])
def test_a_second_row_with_the_same_id_is_refused(task: str, tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", VALID[task], VALID[task])
    with pytest.raises(UserError, match=r"train\.jsonl:2: field `idx` is .*line 1 has it already"):
        examples_of(task, path, labelled=True)


def test_an_unlabelled_id_on_two_different_rows_is_refused(tmp_path: Path) -> None:
    row = without(VALID["rte"], "label")
    path = write(tmp_path / "unlabeled.jsonl", row, changed(row, "premise", to="It snowed."))
    with pytest.raises(UserError, match=r"unlabeled\.jsonl:2: field `idx`"):
        examples_of("rte", path, labelled=False)


BROKEN_FILES = {
    "truncated": (json.dumps(VALID["cb"]).encode() + b'\n{"premise": "It ra', r":2: not JSON.*probably cut short"),
    "broken in the middle": (b"{]\n" + json.dumps(VALID["cb"]).encode() + b"\n", r":1: not JSON.*mend the row"),
    "empty": (b"", ": the file is empty"),
    "only blanks": (b"\n \n", ": the file is empty"),
    "empty line": (json.dumps(VALID["cb"]).encode() + b"\n\n\n", ":2: the line is empty"),
    "not UTF-8": (b'{"premise": "caf\xe9"}\n', ":1: byte 17 of the line is not UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_a_broken_file_is_refused(case: str, tmp_path: Path) -> None:
    content, message = BROKEN_FILES[case]
    path = tmp_path / "val.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"val\.jsonl{message}"):
        examples_of("cb", path, labelled=True)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"val\.jsonl: no such file"):
        examples_of("cb", tmp_path / "val.jsonl", labelled=True)


FACT = {"uuid": "u1", "sub_label": "Allan Peiper", "obj_label": "Alexandra", "predicate_id": "P19"}
BROKEN_FACTS = {
    "no subject": (without(FACT, "sub_label"), "`sub_label` is missing"),
    "empty subject": (changed(FACT, "sub_label", to=""), "`sub_label` is ''; expected a text that is not empty"),
    "empty object": (changed(FACT, "obj_label", to=" "), "`obj_label` is ' '"),
    "object of wrong type": (changed(FACT, "obj_label", to=["Alexandra"]), "`obj_label` is \\['Alexandra'\\]"),
    "no uuid": (without(FACT, "uuid"), "`uuid` is missing"),
    "same uuid": (changed(FACT, "uuid", to="u0"), "`uuid` is 'u0'.*line 1 has it already"),
    "another relation": (changed(FACT, "predicate_id", to="P20"), "`predicate_id` is 'P20'; expected P19"),
}


@pytest.mark.parametrize("case", BROKEN_FACTS)
def test_a_broken_fact_is_refused(case: str, tmp_path: Path) -> None:
    row, message = BROKEN_FACTS[case]
    path = write(tmp_path / "P19.jsonl", changed(FACT, "uuid", to="u0"), row)
    with pytest.raises(UserError, match=rf"P19\.jsonl:2: field {message}"):
        read_facts("P19", path, "test", uuids=True)


RELATION = {"relation": "P19", "template": "[X] was born in [Y] .", "label": "place of birth", "type": "N-1"}
BROKEN_RELATIONS = {
    "type": (changed(RELATION, "type", to="N-N"), "`type` is 'N-N'.*\"N-M\""),
    "no subject": (
        changed(RELATION, "template", to="born in [Y]"),
        "`template` is 'born in \\[Y\\]'; expected .*\\[X\\]",
    ),
    "two blanks": (changed(RELATION, "template", to="[X] [Y] [Y]"), "`template` is"),
    "braces": (changed(RELATION, "template", to="[X] {is} [Y]"), "`template` is .*no braces"),
    "twice": (changed(RELATION, "relation", to="P20"), "`relation` is 'P20'.*line 1 has it already"),
}


@pytest.mark.parametrize("case", BROKEN_RELATIONS)
def test_a_broken_relation_is_refused(case: str, tmp_path: Path) -> None:
    row, message = BROKEN_RELATIONS[case]
    path = write(tmp_path / "relations.jsonl", changed(RELATION, "relation", to="P20"), row)
    with pytest.raises(UserError, match=rf"relations\.jsonl:2: field {message}"):
        read_relations(path)


def test_patterns_that_differ_only_in_blanks_count_once(tmp_path: Path) -> None:
    lama = read_relations(write(tmp_path / "relations.jsonl", RELATION))["P19"].template
    patterns = [{"pattern": text} for text in ("[X] was born in [Y].", "[X]  is from [Y] ", "[X] is from [Y]")]
    templates, account = read_patterns(write(tmp_path / "P19.jsonl", *patterns), lama)
    assert [(template.id, template.text) for template in templates] == [("pararel-2", "{subject} is from {mask}")]
    assert (account.read, sum(account.dropped.values())) == (3, 2)


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, item in items for place in _places(item, (*path, key))]
    return [path, *below] if path else below


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def _read_or_refusal(task: str, path: Path) -> RawSplit | str:
    try:
        return examples_of(task, path, labelled=True)
    except UserError as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(task=st.sampled_from(sorted(VALID)), data=st.data())
def test_any_damage_to_a_value_is_read_or_refused_but_never_crashes(
    task: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = data.draw(st.sampled_from(_places(VALID[task])))
    row = changed(VALID[task], *place, to=data.draw(JSON_VALUES))
    path = write(tmp_path_factory.mktemp("damaged") / "val.jsonl", row)
    outcome = _read_or_refusal(task, path)
    if isinstance(outcome, str):
        assert outcome.startswith(f"{path}:1: ")
    else:
        assert outcome.read == len(outcome.rows) + sum(outcome.dropped.values())
