"""LAMA as prepared tasks: a relation is a task, its facts are the examples, its wordings the manual templates.

Train and dev are AutoPrompt's facts, test is T-REx: LAMA's own file, or the one of the shared vocabulary for relations
that LAMA's folder does not hold. A relation needs test facts to be prepared. One without train or dev facts is a
zero-shot probe, as Google-RE, ConceptNet and SQuAD are: evaluated as it is, and part of no mean over relations.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from softprompt.config import SuiteSettings, TextSettings
from softprompt.data.fact_splits import split_for_text
from softprompt.data.lama import ManualTemplate, Relation, read_facts, read_patterns, read_relations
from softprompt.data.lpaqa_prompts import lpaqa_files, read_lpaqa
from softprompt.data.prepared_task import PreparedTask, sides
from softprompt.data.probes import PROBES, read_probe
from softprompt.data.splits import sample
from softprompt.user_files import is_there

LICENCE = "CC BY-NC 4.0"
TEST_FOLDERS = ("TREx", "TREx_lms_vocab")
LEARNT_FROM = ("train", "dev")


def relations_of(root: Path) -> dict[str, Relation]:
    """LAMA's relations by name."""
    return read_relations(root / "lama" / "relations.jsonl")


def fact_files(root: Path, relation: str) -> dict[str, Path]:
    """Every file of facts that a relation has there, by split."""
    lama = root / "lama"
    tests = [lama / folder / f"{relation}.jsonl" for folder in TEST_FOLDERS]
    wanted = {
        "train": lama / "autoprompt" / relation / "train.jsonl",
        "dev": lama / "autoprompt" / relation / "dev.jsonl",
        "test": next((path for path in tests if is_there(path)), tests[0]),
        "withheld": lama / "withheld" / f"{relation}.jsonl",
    }
    return {split: path for split, path in wanted.items() if is_there(path)}


def missing_facts(root: Path, relations: dict[str, Relation]) -> dict[str, str]:
    """What each relation or probe lacks that it cannot be prepared without, in words; "" for one that can."""
    lama = root / "lama"
    files = {path.stem for folder in TEST_FOLDERS for path in (lama / folder).glob("*.jsonl")}
    folders = {path.name for path in (lama / "autoprompt").glob("*") if path.is_dir()}
    missing = {}
    for name in sorted(relations.keys() | files | folders):
        lacking = [] if name in relations else ["no row in lama/relations.jsonl"]
        lacking += [] if "test" in fact_files(root, name) else ["no test facts"]
        missing[name] = ", ".join(lacking)
    for name, probe in PROBES.items():
        missing[name] = "" if probe.path(root) else f"no file lama/{probe.files[0]}"
    return missing


def prepare_lama_task(root: Path, name: str, relations: dict[str, Relation], settings: SuiteSettings) -> PreparedTask:
    """The tables and templates of a relation or a probe."""
    probe = PROBES[name].path(root) if name in PROBES else None
    if probe:
        account = read_probe(PROBES[name], probe)
        tables = {"test": account.frame()}
        files = _described(PROBES[name].type, [PROBES[name].template])
        task = PreparedTask(name, LICENCE, [], [account], tables, files)
    else:
        task = _prepare_relation(root, relations[name], settings.text)
    task.tables = {split: _limited(name, split, table, settings) for split, table in task.tables.items()}
    lacking = [f"no {split} facts" for split in LEARNT_FROM if split not in task.tables]
    task.note = f"zero-shot probe: {', '.join(lacking)}" if lacking else ""
    return task


def _prepare_relation(root: Path, relation: Relation, text: TextSettings | None) -> PreparedTask:
    name = relation.name
    raw = {
        split: read_facts(name, path, split, uuids=split in ("test", "withheld"))
        for split, path in fact_files(root, name).items()
    }
    templates, (sources, test_sources) = [relation.template], sides(raw)
    patterns = root / "prompts" / "pararel" / f"{name}.jsonl"
    if is_there(patterns):
        further, account = read_patterns(patterns, relation.template)
        templates, sources = templates + further, [*sources, account]
    for family, path in lpaqa_files(root, name).items():
        further, account = read_lpaqa(path, family, templates)
        templates, sources = templates + further, [*sources, account]
    tables = {split: facts.frame() for split, facts in raw.items()}
    if text is not None:
        tables = split_for_text(name, tables, text)
    return PreparedTask(name, LICENCE, sources, test_sources, tables, _described(relation.type, templates))


def _limited(name: str, split: str, table: pd.DataFrame, settings: SuiteSettings) -> pd.DataFrame:
    limit = {"train": settings.train_limit, "test": settings.test_limit}.get(split)
    return sample(table, limit, f"lama/{name}", f"{split} limit", table["id"])


def _described(kind: str, templates: list[ManualTemplate]) -> dict[str, str]:
    described = {"type": kind, "templates": [asdict(template) for template in templates]}
    return {"templates.json": json.dumps(described, indent=1, ensure_ascii=False) + "\n"}
