"""LAMA's zero-shot probes and scant relations: read, asked where that makes sense, elsewhere refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from helpers.prepared_tables import prepared_table
from helpers.profiles import fixture_content, listed
from softprompt.backbones.backbone import Backbone
from softprompt.config import Params, SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.data.probes import PROBES, SEVERAL_BLANKS, read_probe
from softprompt.errors import UserError
from softprompt.evaluation.coverage import coverage_table
from softprompt.evaluation.evaluate import evaluate_backbone
from softprompt.experiments.checks import load_checked_params
from softprompt.experiments.train import train_method
from softprompt.inputs.encoding import encode_texts, tokenize
from softprompt.methods import build_method
from softprompt.paths import Paths
from softprompt.reporting.analysis.scoring import score_table
from softprompt.results import Cell, Coverage
from softprompt.tasks.load import load_task

SQUAD = {"masked_sentences": ["The anthem [MASK] sung."], "obj_label": "was", "id": "a_0", "sub_label": "Squad"}
BIRTH = {
    "pred": "/people/person/date_of_birth",
    "sub_label": "Ann",
    "obj_label": "1941",
    "uuid": "u1",
    "masked_sentences": ["Ann was born in [MASK]."],
}


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_sentence_is_split_around_its_blank(tmp_path: Path) -> None:
    first = {**SQUAD, "id": "b", "masked_sentences": ["[MASK] sang."]}
    last = {**SQUAD, "id": "c", "masked_sentences": ["Ann sang ([MASK])"]}
    rows = read_probe(PROBES["squad"], write(tmp_path / "test.jsonl", SQUAD, first, last)).rows
    assert [row.fields for row in rows] == [
        {"before": "The anthem", "after": " sung."},
        {"before": "", "after": " sang."},
        {"before": "Ann sang (", "after": ")"},
    ]


def test_a_sentence_with_two_blanks_is_left_out_and_counted(tmp_path: Path) -> None:
    twice = {**SQUAD, "id": "b", "masked_sentences": ["[MASK] and [MASK]"]}
    split = read_probe(PROBES["squad"], write(tmp_path / "test.jsonl", SQUAD, twice))
    assert (split.lines, split.read, len(split.rows), dict(split.dropped)) == (2, 2, 1, {SEVERAL_BLANKS: 1})


@pytest.mark.parametrize(
    ("probe", "row", "message"),
    [
        ("squad", {**SQUAD, "masked_sentences": ["no blank"]}, "one sentence with one"),
        ("squad", {**SQUAD, "masked_sentences": ["[MASK]", "[MASK]"]}, "one sentence with one"),
        ("squad", {**SQUAD, "masked_sentences": []}, "a list of texts that is not empty"),
        ("squad", {**SQUAD, "masked_sentences": [3]}, "a list of texts"),
        ("squad", {**SQUAD, "masked_sentences": "[MASK]"}, "a list of texts"),
        ("squad", {**SQUAD, "obj_label": " "}, "`obj_label` is ' '"),
        ("squad", {"obj_label": "was", "id": "a"}, "`masked_sentences` is missing"),
        ("conceptnet", SQUAD, "`uuid` is missing"),
        ("google_re_date_of_birth", {**BIRTH, "obj_label": "May 1941"}, "`obj_label` is 'May 1941'; expected a year"),
        ("google_re_place_of_birth", BIRTH, "`pred` is '/people/person/date_of_birth'"),
        ("google_re_date_of_birth", {**BIRTH, "sub_label": ""}, "`sub_label` is ''"),
    ],
)
def test_a_broken_row_is_refused_by_file_line_and_field(probe: str, row: object, message: str, tmp_path: Path) -> None:
    good = {"squad": SQUAD, "conceptnet": {**SQUAD, "uuid": "x"}}.get(probe)
    rows = [row] if good is None else [{**good, "id": "good"}, row]
    with pytest.raises(UserError, match=rf"test\.jsonl:{len(rows)}: field .*{message}"):
        read_probe(PROBES[probe], write(tmp_path / "test.jsonl", *rows))


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test\.jsonl:2: field `id` is 'a_0'"):
        read_probe(PROBES["squad"], write(tmp_path / "test.jsonl", SQUAD, SQUAD))


# --- asking: a small LAMA around the words that the tiny backbone knows ----------------------------------------------


@pytest.fixture(scope="module")
def words(prepared: Path) -> list[str]:
    """Answers that are one token of the tiny backbone."""
    return sorted(json.loads((prepared / "lama" / "text" / "answers.json").read_text()))[:30]


@pytest.fixture(scope="module")
def folder(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared LAMA: P36 complete, P37 with 5 usable train facts of 9, P47 without train and dev, and two probes."""
    root, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("probes")
    names = ("P36", "P37", "P47")
    write(
        root / "lama/relations.jsonl",
        *({"relation": name, "template": "[X] has [Y] .", "type": "N-1"} for name in names),
    )
    odd = "two words"
    for number, name in enumerate(names):
        facts = [{"sub_label": f"s{i}", "obj_label": words[i % 20]} for i in range(12)] + [
            {"sub_label": "t", "obj_label": odd},
            {"sub_label": "u", "obj_label": words[25]},
        ]
        write(root / f"lama/TREx/{name}.jsonl", *({**fact, "uuid": f"{name}-{i}"} for i, fact in enumerate(facts)))
        if name != "P47":
            train = facts if number == 0 else [*facts[:5], *facts[-1:] * 4]
            write(root / f"lama/autoprompt/{name}/train.jsonl", *train)
            write(root / f"lama/autoprompt/{name}/dev.jsonl", *facts[:4])
    sentences = [{**SQUAD, "id": f"q{i}", "obj_label": words[i]} for i in range(6)]
    write(root / "lama/Squad/test.jsonl", *sentences)
    births = [{**BIRTH, "uuid": f"b{i}", "obj_label": str(1900 + i)} for i in range(3)]
    write(root / "lama/Google_RE/date_of_birth_test.jsonl", *births)
    (root / "lama/vocab").mkdir()
    (root / "lama/vocab/common_vocab_cased.txt").write_text("\n".join(words[:20]))
    settings = SuiteSettings(source="local", path=str(root), vocabulary="common")
    prepare_suite("lama", settings, WorldSettings(), Paths(out))
    return out


def params_for(folder: Path, methods: list[str]) -> Params:
    content: dict[str, Any] = fixture_content()
    content["run"] |= {"suites": ["lama"], **listed(methods)}
    content["suites"]["lama"]["tasks"] = "all"
    local = {name: {"source": "local", "kind": own["kind"], "path": "."} for name, own in content["backbones"].items()}
    content["backbones"] = local  # not pretrained on these facts
    content["budget"] = "smoke"
    content["budgets"]["smoke"] |= {"steps": 2, "eval_every": 1}
    content["seeds"] = [0]
    content["device"] |= {"workers": 1}
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_checked_params(path)


def cells_of(method: str, backbone: Backbone, folder: Path) -> dict[str, Cell]:
    params = params_for(folder, [method])
    made = build_method(method, params.methods[method])
    return {cell.task: cell for cell in train_method(params, method, made, backbone, Paths(folder)).cells}


TASKS = {"P36", "P37", "P47", "google_re_date_of_birth", "squad"}
NOTHING = "a zero-shot probe has no train and no dev facts"
SCANT = "only 5 of the 9 train facts can be answered by tiny_bert; expected at least 8"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("manual", dict.fromkeys(TASKS, "")),
        ("manual_best", {"P47": "a zero-shot probe has no dev facts", "P37": ""}),
        ("majority", {"P47": "a zero-shot probe has no train facts", "P37": SCANT}),
        ("p_tuning", {"P47": NOTHING, "squad": NOTHING, "google_re_date_of_birth": NOTHING, "P37": SCANT, "P36": ""}),
        ("random_prompt", {"P47": NOTHING, "P37": SCANT, "P36": ""}),
    ],
)
def test_a_method_meets_what_it_can_learn_from(
    method: str, expected: dict[str, str], bert: Backbone, folder: Path
) -> None:
    cells = cells_of(method, bert, folder)
    assert set(cells) == TASKS
    assert {task: cells[task].reason for task in expected} == expected
    assert all((cell.status == "done") == (cell.reason == "") for cell in cells.values())


def test_a_causal_backbone_is_not_asked_sentences_with_a_blank_inside(gpt2: Backbone, folder: Path) -> None:
    cells = cells_of("manual", gpt2, folder)
    assert cells["squad"].reason == "lama/squad has no template for causal backbones"
    assert cells["google_re_date_of_birth"].status == "done"


def test_a_row_is_asked_in_its_own_words(bert: Backbone, folder: Path) -> None:
    task = load_task("lama", "squad", folder / "data/prepared")
    examples = load_split(Paths(folder).test_suite("lama"), "squad", "test")
    (template,) = task.templates("manual", "masked")
    encoded = encode_texts(bert, template, examples[:1], 0, 64)
    ids = encoded.ids[0].tolist()
    whole = tokenize(bert.tokenizer, f"The anthem {bert.tokenizer.mask_token} sung.")
    assert ids == [bert.tokenizer.cls_token_id, *whole, bert.tokenizer.sep_token_id]
    assert ids[encoded.read_at[0]] == bert.tokenizer.mask_token_id


def scores_in(folder: Path, evaluated: Path) -> pd.DataFrame:
    predictions = pd.read_parquet(evaluated / "predictions.parquet")
    names = predictions["task"].unique()
    return score_table(predictions, {("lama", name): load_task("lama", name, Paths(folder).prepared) for name in names})


def test_evaluation_answers_the_probes_and_says_what_counts(bert: Backbone, folder: Path, words: list[str]) -> None:
    params = params_for(folder, ["manual"])
    cells_of("manual", bert, folder)
    evaluate_backbone(params, bert, Paths(folder))
    out = Paths(folder).evaluate(bert.name)
    scores = scores_in(folder, out)
    coverage = pd.read_csv(out / "coverage.csv").set_index(["task", "split"])
    assert list(coverage.reset_index()[list(Coverage.model_fields)].columns) == list(Coverage.model_fields)
    kept = coverage.xs("test", level="split")["kept"]
    tested = scores[scores["metric"] == "p_at_1"].set_index("task")["n_examples"]
    assert tested.to_dict() == kept[kept > 0].to_dict()
    assert kept["squad"] == 6
    for (task, split), row in coverage.iterrows():  # by hand: one token and in the list, or why not
        labels = prepared_table(Paths(folder), "lama", task, split)["label"]
        pieces = [tokenize(bert.tokenizer, label) for label in labels]
        known = [len(ids) == 1 and ids != [bert.tokenizer.unk_token_id] for ids in pieces]
        inside = [label in words[:20] for label in labels]
        assert row["examples"] == len(labels)
        assert row["not_one_token"] == sum(not k for k in known), (task, split)
        assert row["kept"] == sum(k and i for k, i in zip(known, inside, strict=True))
        assert row["outside_vocabulary"] == sum(k and not i for k, i in zip(known, inside, strict=True))


def test_lamas_metrics_equal_a_plain_ranking_of_the_models_own_scores(
    bert: Backbone, folder: Path, words: list[str]
) -> None:
    cells_of("manual", bert, folder)
    evaluate_backbone(params_for(folder, ["manual"]), bert, Paths(folder))
    scores = scores_in(folder, Paths(folder).evaluate(bert.name))
    answers = [tokenize(bert.tokenizer, word)[0] for word in words[:20] if len(tokenize(bert.tokenizer, word)) == 1]
    ranks = []
    for row in load_split(Paths(folder).test_suite("lama"), "P36", "test").itertuples():
        gold = tokenize(bert.tokenizer, row.label)
        if len(gold) == 1 and gold[0] in answers:
            ids = bert.tokenizer(f"{row.subject} has {bert.tokenizer.mask_token} .", return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logits = bert.model(input_ids=ids).logits[0, ids[0].tolist().index(bert.tokenizer.mask_token_id)]
            ranks.append(1 + sorted(answers, key=lambda token: -float(logits[token])).index(gold[0]))
    mine = scores[scores["task"] == "P36"].set_index("metric")["value"]
    assert mine["p_at_1"] == pytest.approx(sum(rank == 1 for rank in ranks) / len(ranks))
    assert mine["p_at_10"] == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert mine["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))


def test_coverage_has_no_rows_without_lama(bert: Backbone, folder: Path) -> None:
    params = params_for(folder, ["manual"])
    other = params.model_copy(update={"run": params.run.model_copy(update={"suites": ("superglue",)})})
    assert coverage_table(other, bert, Paths(folder)).empty
