"""`prepare`: every row accounted for, the same bytes twice, and nothing half-written."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers.prepared_tables import prepared_splits, prepared_table
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data import prepare, prepared
from softprompt.data.prepare import prepare_suite
from softprompt.data.prepared import load_split
from softprompt.data.splits import carve_dev, sample, unit_of
from softprompt.errors import UserError
from softprompt.files import sha256_of_folder
from softprompt.paths import Paths
from softprompt.tasks.load import load_data_section, load_task

SUITES = ["lama", "superglue", "fewglue"]
SMALL = WorldSettings(subjects=24)
EMBEDDED = SuiteSettings(source="embedded")


def local(path: Path, **changes: object) -> SuiteSettings:
    return SuiteSettings.model_validate({"source": "local", "path": str(path), **changes})


def write(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rte(idx: int, label: str) -> dict[str, object]:
    return {"premise": f"It is {idx}.", "hypothesis": f"It was {idx}.", "label": label, "idx": idx}


def rte_rows(count: int) -> list[dict[str, object]]:
    return [rte(idx, "entailment" if idx % 4 else "not_entailment") for idx in range(count)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A tiny raw folder: RTE in both suites (FewGLUE without its own val), relations: complete, without train, without
    any facts."""
    root = tmp_path / "raw"
    write(root / "superglue/RTE/train.jsonl", *rte_rows(40))
    write(root / "superglue/RTE/val.jsonl", *rte_rows(12))
    write(root / "fewglue/RTE/train.jsonl", *rte_rows(8))
    write(root / "fewglue/RTE/dev32.jsonl", *rte_rows(8))
    for name in ("P36", "P47"):
        facts = [{"sub_label": f"place {i}", "obj_label": f"city{i % 3}"} for i in range(9)]
        write(root / f"lama/TREx/{name}.jsonl", *({**fact, "uuid": f"u{i}"} for i, fact in enumerate(facts[:5])))
        write(root / f"lama/autoprompt/{name}/dev.jsonl", *facts[5:])
    write(root / "lama/autoprompt/P36/train.jsonl", *facts[4:], facts[8])
    templates = {
        "P36": "The capital of [X] is [Y] .",
        "P47": "[X] shares border with [Y] .",
        "P54": "[X] plays with [Y] .",
    }
    relations = [{"relation": name, "template": text, "type": "1-1"} for name, text in templates.items()]
    write(root / "lama/relations.jsonl", *relations)
    return root


# --- the embedded world -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_the_embedded_world_gives_the_same_bytes_twice(suite: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_suite(suite, EMBEDDED, SMALL, Paths(tmp_path / name))
    assert sha256_of_folder(tmp_path / "one") == sha256_of_folder(tmp_path / "two")


@pytest.mark.parametrize("suite", SUITES)
def test_embedded_tasks_are_complete_and_loadable(suite: str, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    folder = paths.suite(suite)
    prepare_suite(suite, EMBEDDED, SMALL, paths)
    names = prepared.tasks(folder)
    assert len(names) >= (10 if suite == "lama" else 2)
    for name in names:
        task = load_task(suite, name, paths.prepared)
        assert {"train", "dev", "test"} <= set(prepared_splits(paths, suite, name))
        tables = [prepared_table(paths, suite, name, split) for split in prepared_splits(paths, suite, name)]
        for table in tables:
            assert list(table.columns[:3]) == ["id", "group", "label"]
            assert set(task.fields) <= set(table.columns)
        assert pd.concat(tables)["id"].is_unique
    texts = {"lama": ["answers.json", "facts.jsonl"], "superglue": ["documents.jsonl"], "fewglue": []}[suite]
    assert sorted(path.name for path in folder.glob("text/*")) == texts
    for side in (folder, paths.test_suite(suite)):
        assert str(tmp_path) not in (side / "manifest.json").read_text()


# --- real data ----------------------------------------------------------------------------------------------------

REAL_ROWS = {
    "superglue": {
        "boolq": (2000, 3270),
        "cb": (250, 56),
        "copa": (400, 100),
        "multirc": (27240, 4848),
        "rte": (2490, 277),
        "wic": (5428, 638),
        "wsc": (554, 104),
    },
    "fewglue": {
        "boolq": (64, 3270),
        "cb": (64, 56),
        "copa": (64, 100),
        "multirc": (321, 4848),
        "rte": (64, 277),
        "wic": (64, 638),
        "wsc": (64, 104),
    },
}


@pytest.mark.parametrize("suite", REAL_ROWS)
def test_real_nlu_manifests_hold_the_official_counts(real_data: Path, suite: str, tmp_path: Path) -> None:
    prepare_suite(suite, local(real_data), SMALL, Paths(tmp_path))
    manifest = prepared.whole_manifest(Paths(tmp_path), suite)
    rows = {
        name: (task["splits"]["train"]["rows"] + task["splits"]["dev"]["rows"], task["splits"]["test"]["rows"])
        for name, task in manifest["tasks"].items()
    }
    assert rows == REAL_ROWS[suite]
    assert list(manifest["left_out"]) == ["record"]
    for task in manifest["tasks"].values():
        for split in task["splits"].values():
            assert sum(split["labels"].values()) == split["rows"]
        assert task["also_in_test"] == {"train": 0, "dev": 0}


def test_fewglues_wsc_has_nothing_but_positives_and_record_is_checked(real_data: Path, tmp_path: Path) -> None:
    prepare_suite("fewglue", local(real_data), SMALL, Paths(tmp_path))
    manifest = prepared.whole_manifest(Paths(tmp_path), "fewglue")
    splits = manifest["tasks"]["wsc"]["splits"]
    assert (splits["train"]["labels"], splits["dev"]["labels"]) == ({"true": 32}, {"true": 10, "false": 22})
    record = manifest["left_out"]["record"]
    assert record["reason"] == "fewglue/ReCoRD has no val.jsonl"
    assert {path: raw["read"] for path, raw in record["raw"].items()} == {
        "fewglue/ReCoRD/train.jsonl": 32,
        "fewglue/ReCoRD/dev32.jsonl": 32,
    }


def test_real_lama_manifest_holds_the_official_counts(real_data: Path, tmp_path: Path) -> None:
    prepare_suite("lama", local(real_data, vocabulary="29k"), SMALL, Paths(tmp_path))
    manifest = prepared.whole_manifest(Paths(tmp_path), "lama")
    tasks = manifest["tasks"]
    relations = {name: task for name, task in tasks.items() if name.startswith("P")}
    facts = {
        folder: [
            task["splits"]["test"]["rows"]
            for task in relations.values()
            if any(path.startswith(f"lama/{folder}/") for path in task["raw"])
        ]
        for folder in ("TREx", "TREx_lms_vocab")
    }
    assert {folder: (len(rows), sum(rows)) for folder, rows in facts.items()} == {
        "TREx": (28, 22881),
        "TREx_lms_vocab": (13, 9540),
    }
    learnt_from = [task["splits"] for task in relations.values() if {"train", "dev"} <= set(task["splits"])]
    assert (len(relations), len(learnt_from)) == (41, 38)
    assert sum(splits["train"]["rows"] for splits in learnt_from) == 26772
    assert sum(task["splits"]["dev"]["rows"] for task in relations.values() if "dev" in task["splits"]) == 7055
    assert {name: relations[name]["note"] for name in ("P19", "P47", "P190", "P530")} == {
        "P19": "",
        "P47": "zero-shot probe: no train facts, no dev facts",
        "P190": "zero-shot probe: no train facts",
        "P530": "zero-shot probe: no train facts",
    }
    assert manifest["left_out"] == {
        name: {"reason": "no test facts"} for name in ("P54", "P69", "P102", "P166", "P1923")
    }
    overlaps = {name: task["also_in_test"].get("train", 0) for name, task in tasks.items()}
    assert {name: count for name, count in overlaps.items() if count > 2} == {"P138": 12, "P176": 8, "P264": 8}
    repeated = {name: task["splits"]["test"]["repeated"] for name, task in tasks.items()}
    assert sum(repeated[name] for name in ("P138", "P176", "P178", "P449")) == 14
    vocabulary = prepared.load_vocabulary(Paths(tmp_path).suite("lama"))
    assert vocabulary is not None
    assert [len(set(words)) for words in vocabulary] == [18154]
    assert len(load_task("lama", "P19", Paths(tmp_path).prepared).manual) == 13 + 3 + 3  # with LPAQA's


PROBE_ROWS = {
    "google_re_date_of_birth": 1825,
    "google_re_place_of_birth": 2937,
    "google_re_place_of_death": 766,
    "conceptnet": 146,
    "squad": 302,
}


def test_real_probes_hold_the_official_counts_and_bring_what_is_asked(real_data: Path, tmp_path: Path) -> None:
    prepare_suite("lama", local(real_data, tasks=tuple(PROBE_ROWS)), SMALL, Paths(tmp_path))
    manifest = prepared.whole_manifest(Paths(tmp_path), "lama")
    assert {name: manifest["tasks"][name]["splits"]["test"]["rows"] for name in PROBE_ROWS} == PROBE_ROWS
    squad = manifest["tasks"]["squad"]["raw"]["lama/Squad/test.jsonl"]
    assert (squad["lines"], squad["dropped"]) == (305, {"a sentence with more than one [MASK]": 3})
    for name in PROBE_ROWS:
        task = load_task("lama", name, Paths(tmp_path).prepared)
        table = prepared_table(Paths(tmp_path), "lama", name, "test")
        assert prepared_splits(Paths(tmp_path), "lama", name) == ["test"]
        assert set(table.columns) == {"id", "group", "label", *task.fields}
        assert bool(task.templates("manual", "causal")) == name.startswith("google_re")


@pytest.mark.parametrize(("name", "words"), [("29k", 18154), ("common", 21018), ("full", None)])
def test_the_chosen_vocabulary_is_the_prepared_one(
    real_data: Path, name: str, words: int | None, tmp_path: Path
) -> None:
    prepare_suite("lama", local(real_data, tasks=("P36",), vocabulary=name), SMALL, Paths(tmp_path))
    vocabulary = prepared.load_vocabulary(Paths(tmp_path).suite("lama"))
    assert (None if vocabulary is None else [len(one) for one in vocabulary]) == (words and [words])
    assert prepared.whole_manifest(Paths(tmp_path), "lama")["settings"]["vocabulary"] == name


def test_redrawn_fewglue_has_32_and_32_of_superglues_train_rows(real_data: Path, tmp_path: Path) -> None:
    drawn = {}
    for seed in (0, 0, 1):
        prepare_suite("fewglue", local(real_data, split_seed=seed), SMALL, Paths(tmp_path))
        manifest = prepared.whole_manifest(Paths(tmp_path), "fewglue")
        for name, task in manifest["tasks"].items():
            train, dev = (prepared_table(Paths(tmp_path), "fewglue", name, split) for split in ("train", "dev"))
            data = load_data_section("fewglue", name)
            assert (unit_of(train["id"], data).nunique(), unit_of(dev["id"], data).nunique()) == (32, 32)
            assert task["splits"]["test"]["rows"] == REAL_ROWS["fewglue"][name][1]
            assert drawn.setdefault((name, seed), train["id"].tolist()) == train["id"].tolist()
    assert all(drawn[name, 0] != drawn[name, 1] for name, _ in drawn)
    assert set(manifest["tasks"]) == set(REAL_ROWS["fewglue"])
    assert manifest["tasks"]["wsc"]["splits"]["train"]["distinct_labels"] == 2
    assert manifest["tasks"]["copa"]["splits"]["unlabeled"]["rows"] == 400


# --- splits and limits --------------------------------------------------------------------------------------------


def test_dev_is_stratified_and_apart_from_train(raw: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    prepare_suite("superglue", local(raw, dev_share=0.2), SMALL, paths)
    assert prepared_splits(paths, "superglue", "rte") == ["train", "dev", "test"]
    train, dev = (prepared_table(paths, "superglue", "rte", split) for split in ("train", "dev"))
    assert dict(dev["label"].value_counts()) == {"entailment": 6, "not_entailment": 2}
    assert set(train["id"]) | set(dev["id"]) == {f"train-{idx}" for idx in range(40)}
    assert not set(train["id"]) & set(dev["id"])
    assert set(prepared_table(paths, "superglue", "rte", "test")["id"]) == {f"val-{idx}" for idx in range(12)}


def table_of(groups: list[str], labels: list[str]) -> pd.DataFrame:
    ids = [f"train-{number}" for number in range(len(groups))]
    return pd.DataFrame({"id": ids, "group": groups, "label": labels})


def test_carving_keeps_groups_whole_and_takes_every_label() -> None:
    table = table_of([f"g{number // 3}" for number in range(90)], ["0", "1", "1"] * 30)
    train, dev = carve_dev(table, 0.2, "superglue/multirc")
    assert not set(train["group"]) & set(dev["group"])
    assert dict(dev["label"].value_counts()) == {"1": 12, "0": 6}
    rare = table_of([f"g{number}" for number in range(50)], ["common"] * 48 + ["rare"] * 2)
    assert set(carve_dev(rare, 0.1, "superglue/cb")[1]["label"]) == {"common", "rare"}


def test_carving_depends_on_the_identity_only() -> None:
    table = table_of([f"g{number}" for number in range(60)], ["0", "1"] * 30)
    first, again, other = (carve_dev(table, 0.3, name)[1]["id"].tolist() for name in ("a", "a", "b"))
    assert first == again
    assert first != other


def test_a_limit_keeps_the_answers_of_a_question_together() -> None:
    ids = pd.Series([f"val-{number // 10}-{number // 4}-{number}" for number in range(40)])
    table = pd.DataFrame({"id": ids})
    data = load_data_section("superglue", "multirc")
    chosen = sample(table, 14, "superglue/multirc", "test limit", unit_of(ids, data))
    questions = chosen["id"].str.rpartition("-")[0]
    assert 11 <= len(chosen) <= 14
    assert all((ids.str.rpartition("-")[0] == one).sum() == (questions == one).sum() for one in set(questions))


def test_limits_are_samples_in_the_order_of_the_file(raw: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    prepare_suite("superglue", local(raw, train_limit=10, test_limit=5), SMALL, paths)
    for split, rows in (("train", 10), ("test", 5)):
        numbers = [int(name.rpartition("-")[2]) for name in prepared_table(paths, "superglue", "rte", split)["id"]]
        assert len(numbers) == rows
        assert numbers == sorted(numbers)
    raw_files = prepared.whole_manifest(paths, "superglue")["tasks"]["rte"]["raw"]
    assert raw_files["superglue/RTE/train.jsonl"]["read"] == 40


def test_a_dev_share_that_leaves_nothing_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"suites\.superglue\.dev_share = 1\.0 leaves no train"):
        prepare_suite("superglue", local(raw, dev_share=1.0), SMALL, Paths(tmp_path))


# --- which tasks --------------------------------------------------------------------------------------------------


def test_fewglue_takes_superglues_validation_set_where_it_has_none(raw: Path, tmp_path: Path) -> None:
    prepare_suite("fewglue", local(raw), SMALL, Paths(tmp_path))
    assert len(prepared_table(Paths(tmp_path), "fewglue", "rte", "test")) == 12
    assert "superglue/RTE/val.jsonl" in prepared.whole_manifest(Paths(tmp_path), "fewglue")["tasks"]["rte"]["raw"]


def test_all_means_the_complete_tasks_and_the_manifest_says_which_are_not(raw: Path, tmp_path: Path) -> None:
    prepare_suite("lama", local(raw), SMALL, Paths(tmp_path))
    manifest = prepared.whole_manifest(Paths(tmp_path), "lama")
    assert prepared.tasks(Paths(tmp_path).suite("lama")) == ["P36", "P47"]
    assert {name: task["note"] for name, task in manifest["tasks"].items()} == {
        "P36": "",
        "P47": "zero-shot probe: no train facts",
    }
    assert manifest["left_out"]["P54"] == {"reason": "no test facts"}
    assert manifest["left_out"]["squad"] == {"reason": "no file lama/Squad/test.jsonl"}
    entry = manifest["tasks"]["P36"]
    assert (entry["also_in_test"], entry["splits"]["train"]["repeated"]) == ({"train": 1, "dev": 0}, 1)
    assert prepared.load_vocabulary(Paths(tmp_path).suite("lama")) is None


@pytest.mark.parametrize(
    ("suite", "task", "message"),
    [
        ("superglue", "sst2", r"unknown task of suites\.superglue\.tasks 'sst2'; valid ones: rte"),
        ("superglue", "RTE", r"unknown task of suites\.superglue\.tasks 'RTE'; valid ones: rte"),
        ("superglue", "boolq", r"names 'boolq', which cannot be prepared: there is no folder superglue/BoolQ"),
        ("lama", "P999", r"unknown task of suites\.lama\.tasks 'P999'; valid ones: P36"),
        ("lama", "P54", r"names 'P54', which cannot be prepared: no test facts"),
        ("lama", "squad", r"names 'squad', which cannot be prepared: no file lama/Squad/test\.jsonl"),
    ],
)
def test_a_task_that_cannot_be_prepared_is_refused(
    suite: str, task: str, message: str, raw: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        prepare_suite(suite, local(raw, tasks=(task,)), SMALL, Paths(tmp_path))


def test_record_is_prepared_with_its_entities_as_candidates(raw: Path, tmp_path: Path) -> None:
    entities = [{"start": 0, "end": 2}, {"start": 8, "end": 10}]
    row = {
        "qas": [{"query": "@placeholder met Bob", "answers": [{"start": 0, "end": 2, "text": "Ann"}], "idx": 3}],
    }
    for name in ("train", "val"):
        write(
            raw / f"superglue/ReCoRD/{name}.jsonl",
            *(
                {**row, "passage": {"text": f"Ann met Bob {index}", "entities": entities}, "idx": index}
                for index in range(6)
            ),
        )
    prepare_suite("superglue", local(raw, tasks=("record",), dev_share=0.5), SMALL, Paths(tmp_path))
    first = prepared_table(Paths(tmp_path), "superglue", "record", "test").iloc[0]
    assert (first["label"], first["entities"], first["after"]) == ('["Ann"]', '["Ann", "Bob"]', "met Bob")


def test_a_folder_without_the_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"suites\.lama\.path is .*nowhere.*holds lama/"):
        prepare_suite("lama", local(tmp_path / "nowhere"), SMALL, Paths(tmp_path))


def test_a_suite_without_any_complete_task_is_refused(raw: Path, tmp_path: Path) -> None:
    (raw / "superglue/RTE/val.jsonl").unlink()
    with pytest.raises(UserError, match=r"superglue has no complete task .*rte: superglue/RTE has no val\.jsonl"):
        prepare_suite("superglue", local(raw), SMALL, Paths(tmp_path))


def test_an_unknown_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown suite 'squad'; valid ones: lama, superglue, fewglue, glue"):
        prepare_suite("squad", EMBEDDED, SMALL, Paths(tmp_path))


def test_an_id_in_two_splits_is_refused(raw: Path, tmp_path: Path) -> None:
    shutil.copy(raw / "lama/TREx/P36.jsonl", tmp_path / "copy.jsonl")
    (raw / "lama/withheld").mkdir()
    shutil.copy(tmp_path / "copy.jsonl", raw / "lama/withheld/P36.jsonl")
    with pytest.raises(UserError, match=r"P36: the id 'u0' stands in the splits test and withheld"):
        prepare_suite("lama", local(raw), SMALL, Paths(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", '{"bert": 3}'])
def test_a_broken_vocabulary_is_refused(content: str, raw: Path, tmp_path: Path) -> None:
    (raw / "lama/vocab").mkdir()
    (raw / "lama/vocab/29k-vocab.json").write_text(content)
    with pytest.raises(UserError, match=r"29k-vocab\.json: not a vocabulary file"):
        prepare_suite("lama", local(raw, vocabulary="29k"), SMALL, Paths(tmp_path))
    assert not (tmp_path / "lama").exists()


@pytest.mark.parametrize("name", ["29k", "34k", "common"])
def test_a_vocabulary_that_is_not_there_is_refused(name: str, raw: Path, tmp_path: Path) -> None:
    expected = rf"^suites\.lama\.vocabulary is '{name}', but there is no file .*vocabulary: full$"
    with pytest.raises(UserError, match=expected):
        prepare_suite("lama", local(raw, vocabulary=name), SMALL, Paths(tmp_path))
    assert not (tmp_path / "lama").exists()


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("29k", "29k-vocab.json", '{"bert": ["a", "b"], "gpt2": ["\u0120b", "\u0120c"]}', [["b"]]),
        ("34k", "34k-vocab.json", '{"bert": ["b", "a"], "gpt2": ["\\u0120b"]}', [["a", "b"], ["\u0120b"]]),
        ("common", "common_vocab_cased.txt", "b\n a\n\n", [["a", "b"]]),
    ],
)
def test_vocabularies_are_read(
    name: str, file: str, content: str, words: list[list[str]], raw: Path, tmp_path: Path
) -> None:
    (raw / "lama/vocab").mkdir()
    (raw / "lama/vocab" / file).write_text(content, encoding="utf-8")
    prepare_suite("lama", local(raw, vocabulary=name), SMALL, Paths(tmp_path))
    assert prepared.load_vocabulary(Paths(tmp_path).suite("lama")) == words


def test_a_redrawn_split_needs_enough_examples(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"split_seed = 3: SuperGLUE's train file of rte has 40 examples; .* 64"):
        prepare_suite("fewglue", local(raw, split_seed=3), SMALL, Paths(tmp_path))
    (raw / "superglue/RTE/train.jsonl").unlink()
    with pytest.raises(UserError, match=r"fewglue/RTE has no superglue train\.jsonl to draw from"):
        prepare_suite("fewglue", local(raw, split_seed=3), SMALL, Paths(tmp_path))


# --- all or nothing -----------------------------------------------------------------------------------------------


def test_a_broken_row_leaves_nothing_behind(raw: Path, tmp_path: Path) -> None:
    write(raw / "superglue/RTE/val.jsonl", rte(0, "perhaps"))
    with pytest.raises(UserError, match=r"val\.jsonl:1: field `label` is 'perhaps'"):
        prepare_suite("superglue", local(raw), SMALL, Paths(tmp_path / "out"))
    assert [path for path in (tmp_path / "out").rglob("*") if path.name not in ("data", "prepared", "test")] == []


def test_an_error_while_writing_leaves_what_was_there(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths(tmp_path / "out")
    prepare_suite("superglue", local(raw), SMALL, paths)
    before = sha256_of_folder(tmp_path / "out")

    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(prepare, "write_manifest", full_disk)
    with pytest.raises(OSError, match="no space left"):
        prepare_suite("superglue", local(raw, train_limit=3), SMALL, paths)
    assert sha256_of_folder(tmp_path / "out") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data import prepare
from softprompt.paths import Paths
def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "written":
    prepare.write_manifest = killed
else:
    rename = Path.rename
    def counted(self, target, left=[int(sys.argv[3])]):
        left[0] -= 1
        return killed() if left[0] < 0 else rename(self, target)
    Path.rename = counted
path = {"path": sys.argv[1]} if sys.argv[4] == "local" else {}
settings = SuiteSettings(source=sys.argv[4], **path, train_limit=5, test_limit=5)
prepare.prepare_suite("superglue", settings, WorldSettings(), Paths(Path(sys.argv[2])))
"""


def killed_prepare(raw: Path, root: Path, moment: str, source: str = "local", **environment: str) -> None:
    """`moment`: while manifests are `written`, or after so many folders were renamed."""
    code = str(Path(prepare.__file__).parents[2])
    environment |= {"PYTHONPATH": os.pathsep.join([code, os.environ.get("PYTHONPATH", "")])}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, raw, root, moment, source], env={**os.environ, **environment}, check=False
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize("source", ["local", "embedded"])
def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up(source: str, raw: Path, tmp_path: Path) -> None:
    paths, temporary = Paths(tmp_path / "out"), tmp_path / "temporary"
    temporary.mkdir()
    killed_prepare(raw, paths.root, "written", source, TMPDIR=str(temporary))
    assert not list(temporary.iterdir())
    sides = paths.suite("superglue"), paths.test_suite("superglue")
    for side in sides:
        assert not side.exists()
        assert len(list(side.parent.iterdir())) == 1
    prepare_suite("superglue", local(raw), SMALL, paths)
    assert [path.name for side in sides for path in side.parent.iterdir()] == ["superglue", "superglue"]


@pytest.mark.parametrize("renamed", range(4))
def test_a_run_killed_at_the_end_never_leaves_old_data_beside_new_data(renamed: int, raw: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "out")
    prepare_suite("superglue", local(raw, train_limit=20, test_limit=10), SMALL, paths)
    killed_prepare(raw, paths.root, str(renamed))
    sides = paths.suite("superglue"), paths.test_suite("superglue")
    rows = [
        len(load_split(side, "rte", split))
        for side, split in zip(sides, ("train", "test"), strict=True)
        if side.exists()
    ]
    assert rows == {0: [20, 10], 1: [10], 2: [], 3: [5]}[renamed]
    prepare_suite("superglue", local(raw, train_limit=20, test_limit=10), SMALL, paths)
    assert [path.name for side in sides for path in side.parent.iterdir()] == ["superglue", "superglue"]


# --- what content keys rest on ------------------------------------------------------------------------------------


def test_the_fingerprint_follows_tables_templates_and_vocabulary_and_nothing_else(raw: Path, tmp_path: Path) -> None:
    def fingerprint(vocabulary: str = "full") -> str:
        prepare_suite("lama", local(raw, vocabulary=vocabulary), SMALL, Paths(tmp_path))
        return prepared.fingerprint(Paths(tmp_path).suite("lama"), "P36")

    first = fingerprint()
    write(raw / "lama/autoprompt/P47/train.jsonl", {"sub_label": "a", "obj_label": "b"})
    assert fingerprint() == first
    write(raw / "prompts/pararel/P36.jsonl", {"pattern": "[Y] is the capital of [X]."})
    with_pattern = fingerprint()
    assert with_pattern != first
    write(raw / "lama/autoprompt/P36/train.jsonl", {"sub_label": "a", "obj_label": "b"})
    with_other_train = fingerprint()
    assert with_other_train not in (first, with_pattern)
    write(raw / "lama/vocab/29k-vocab.json", {"bert": ["a", "b"], "gpt2": ["\u0120b", "\u0120c"]})
    assert fingerprint() == with_other_train
    assert fingerprint("29k") not in (first, with_pattern, with_other_train)
    assert prepared.load_vocabulary(Paths(tmp_path).suite("lama")) == [["b"]]


def test_no_byte_of_what_may_be_learnt_from_depends_on_test_rows(raw: Path, tmp_path: Path) -> None:
    def digests() -> tuple[list[str], list[str]]:
        for suite in SUITES:
            prepare_suite(suite, local(raw), SMALL, Paths(tmp_path))
        return [
            [sha256_of_folder(side(suite)) for suite in SUITES]
            for side in (Paths(tmp_path).suite, Paths(tmp_path).test_suite)
        ]  # type: ignore[return-value]

    learnable, test = digests()
    write(raw / "lama/TREx/P36.jsonl", {"sub_label": "a", "obj_label": "b", "uuid": "u"})
    write(raw / "superglue/RTE/val.jsonl", *rte_rows(4))
    learnable_then, test_then = digests()
    assert learnable_then == learnable
    assert all(before != after for before, after in zip(test, test_then, strict=True))


def test_reading_what_is_not_prepared_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json: no such file; .*prepare@lama"):
        prepared.tasks(Paths(tmp_path).suite("lama"))
    prepare_suite("lama", local(raw), SMALL, Paths(tmp_path))
    with pytest.raises(UserError, match="no task 'P19'; prepared are P36"):
        prepared_table(Paths(tmp_path), "lama", "P19", "test")
    with pytest.raises(UserError, match="no split 'withheld'; it has test"):
        prepared_table(Paths(tmp_path), "lama", "P36", "withheld")
