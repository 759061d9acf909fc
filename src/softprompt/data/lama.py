"""LAMA: T-REx facts to ask, AutoPrompt's facts to train on, and manual templates from LAMA and ParaRel.

T-REx repeats a few (subject, object) pairs under different uuids, and AutoPrompt's files repeat pairs too; all are
included, as the published numbers count them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from softprompt.data.record_files import read_json_lines
from softprompt.data.rows import RawSplit, Row
from softprompt.data.validation import RawRecord, UniqueIds

SAME_WORDING = "the wording of an earlier template"
TYPES: dict[object, str] = {"1-1": "1-1", "N-1": "N-1", "N-M": "N-M"}


@dataclass(frozen=True)
class ManualTemplate:
    """A wording of a relation, with {subject} and {mask}."""

    id: str
    text: str
    source: str


@dataclass(frozen=True)
class Relation:
    """A row of relations.jsonl."""

    name: str
    type: str
    template: ManualTemplate


def read_relations(path: Path) -> dict[str, Relation]:
    """LAMA's relations by name, each with LAMA's own template."""
    relations, ids = {}, UniqueIds("relation")
    for record in read_json_lines(path):
        name = record.name("relation")
        ids.add(record, name)
        template = ManualTemplate("lama", read_wording(record, "template"), "LAMA, relations.jsonl")
        relations[name] = Relation(name, record.choice("type", TYPES), template)
    return relations


def read_patterns(path: Path, lama: ManualTemplate) -> tuple[list[ManualTemplate], RawSplit]:
    """ParaRel's wordings of a relation that differ from LAMA's by more than blanks, and the account of their file."""
    known, templates, account = {without_blanks(lama.text)}, [], RawSplit(path)
    for record in read_json_lines(path):
        account.lines += 1
        account.read += 1
        text = read_wording(record, "pattern")
        if without_blanks(text) in known:
            account.dropped[SAME_WORDING] += 1
            continue
        known.add(without_blanks(text))
        templates.append(ManualTemplate(f"pararel-{record.line}", text, _source(record)))
    return templates, account


def _source(record: RawRecord) -> str:
    """The generated world says of its wordings whether a backbone has met them."""
    if "in_pretraining" not in record.value:
        return "ParaRel, hand-checked patterns"
    seen = record.choice("in_pretraining", {True: "seen", False: "unseen"})
    return f"generated world, {seen} in pretraining"


def read_wording(record: RawRecord, field: str) -> str:
    """A wording with [X] and [Y] as a template with {subject} and {mask}."""
    text = record.text(field)
    if text.count("[X]") != 1 or text.count("[Y]") != 1 or "{" in text or "}" in text:
        record.refuse(field, text, "a sentence with one [X], one [Y] and no braces")
    return " ".join(text.replace("[X]", "{subject}").replace("[Y]", "{mask}").split())


def without_blanks(text: str) -> str:
    """What two wordings are compared by: LAMA's stand apart from their full stop."""
    return re.sub(r"\s+", "", text)


def read_facts(relation: str, path: Path, name: str, *, uuids: bool) -> RawSplit:
    """All facts of a file, checked. Ids are the uuids, or the split's `name` with the line where a file has none."""
    split, ids = RawSplit(path), UniqueIds("uuid")
    for record in read_json_lines(path):
        if record.value.get("predicate_id", relation) != relation:
            record.refuse("predicate_id", record.value["predicate_id"], f"{relation}, by the name of the file")
        identity = record.text("uuid") if uuids else f"{name}-{record.line}"
        ids.add(record, identity)
        subject, answer = record.text("sub_label").strip(), record.text("obj_label").strip()
        split.rows.append(Row(identity, identity, answer, {"subject": subject}))
    split.lines = split.read = len(split.rows)
    return split
