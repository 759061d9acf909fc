"""LAMA as prepared tasks: a relation is a task, its facts are the examples, its wordings the manual templates.

Train and dev are AutoPrompt's facts, test is T-REx: LAMA's own file, or the one of the shared vocabulary for relations
that LAMA's folder does not hold. A relation without train or dev facts is left out.
"""

import json
from dataclasses import asdict
from pathlib import Path

from softprompt.config import SuiteSettings
from softprompt.data.fact_splits import split_for_text
from softprompt.data.lama import Relation, read_facts, read_patterns, read_relations
from softprompt.data.lpaqa import lpaqa_files, read_lpaqa
from softprompt.data.prepared_task import PreparedTask
from softprompt.data.splits import sample
from softprompt.data.validation import RESTORE
from softprompt.errors import UserError

LICENCE = "CC BY-NC 4.0"
TEST_FOLDERS = ("TREx", "TREx_lms_vocab")
VOCABULARY = "29k-vocab.json"


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
        "test": next((path for path in tests if path.is_file()), tests[0]),
        "withheld": lama / "withheld" / f"{relation}.jsonl",
    }
    return {split: path for split, path in wanted.items() if path.is_file()}


def missing_facts(root: Path, relations: dict[str, Relation], *, carved: bool = False) -> dict[str, str]:
    """What each relation lacks, in words; "" for a complete one. If `carved`, test facts make up for train and dev."""
    needed = ("test",) if carved else ("train", "dev", "test")
    lama = root / "lama"
    files = {path.stem for folder in TEST_FOLDERS for path in (lama / folder).glob("*.jsonl")}
    folders = {path.name for path in (lama / "autoprompt").glob("*") if path.is_dir()}
    missing = {}
    for name in sorted(relations.keys() | files | folders):
        there = fact_files(root, name)
        lacking = [f"no {split} facts" for split in needed if split not in there]
        missing[name] = ", ".join(([] if name in relations else ["no row in lama/relations.jsonl"]) + lacking)
    return missing


def prepare_relation(root: Path, relation: Relation, settings: SuiteSettings) -> PreparedTask:
    """The tables and templates of a complete relation."""
    name, identity = relation.name, f"lama/{relation.name}"
    raw = {
        split: read_facts(name, path, split, uuids=split in ("test", "withheld"))
        for split, path in fact_files(root, name).items()
    }
    tables = {split: facts.frame() for split, facts in raw.items()}
    if settings.text is not None:
        tables = split_for_text(name, tables, settings.text)
    for split, limit in (("train", settings.train_limit), ("test", settings.test_limit)):
        tables[split] = sample(tables[split], limit, identity, f"{split} limit", tables[split]["id"])
    templates, sources = [relation.template], list(raw.values())
    patterns = root / "prompts" / "pararel" / f"{name}.jsonl"
    if patterns.exists():
        further, account = read_patterns(patterns, relation.template)
        templates, sources = templates + further, [*sources, account]
    for family, path in lpaqa_files(root, name).items():
        further, account = read_lpaqa(path, family, templates)
        templates, sources = templates + further, [*sources, account]
    described = {"type": relation.type, "templates": [asdict(template) for template in templates]}
    files = {"templates.json": json.dumps(described, indent=1, ensure_ascii=False) + "\n"}
    return PreparedTask(name, LICENCE, sources, tables, files)


def shared_vocabulary(root: Path) -> list[str] | None:
    """The words that answers are chosen among, sorted: those in the list of every model; None if there is no list."""
    path = root / "lama" / "vocab" / VOCABULARY
    if not path.exists():
        return None
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        words = [{str(token).removeprefix("\u0120") for token in tokens} for tokens in lists.values()]
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path}: not a vocabulary file ({error}); expected an object of model name -> list of tokens; {RESTORE}"
        ) from None
    return sorted(set.intersection(*words)) if words else []
