"""LAMA's probes beside T-REx: Google-RE, ConceptNet and SQuAD. They have test facts only: evaluated zero-shot.

Google-RE is queried in LAMA's own wording of the relation (Petroni et al. 2019, scripts/run_experiments.py), ConceptNet
and SQuAD in each row's own sentence, as the text before and after its blank.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from softprompt.data.lama import ManualTemplate
from softprompt.data.record_files import read_json_lines
from softprompt.data.rows import RawSplit, Row
from softprompt.data.validation import RawRecord, UniqueIds

BLANK = "[MASK]"
SENTENCE = "sentence"  # the type of a probe whose rows bring their own sentence
SEVERAL_BLANKS = "a sentence with more than one [MASK]"


@dataclass(frozen=True)
class Probe:
    """A probe: its files below lama/ (the first that is there counts), how rows are named, how they are queried."""

    files: tuple[str, ...]
    id_field: str
    type: str
    template: ManualTemplate
    relation: str = ""  # of Google-RE, as its rows name it

    def path(self, root: Path) -> Path | None:
        """The file that is there, or None."""
        paths = [path for pattern in self.files for path in sorted((root / "lama").glob(pattern))]
        return paths[0] if paths else None


def _google_re(name: str, wording: str, of: str = "person") -> Probe:
    template = ManualTemplate("lama", wording, "LAMA, scripts/run_experiments.py")
    return Probe((f"Google_RE/{name}_test.jsonl",), "uuid", "N-1", template, f"/people/{of}/{name}")


def _sentences(files: tuple[str, ...], id_field: str) -> Probe:
    template = ManualTemplate("sentence", "{before}{mask}{after}", "LAMA, masked_sentences of the row")
    return Probe(files, id_field, SENTENCE, template)


PROBES = {
    "google_re_date_of_birth": _google_re("date_of_birth", "{subject} (born {mask})."),
    "google_re_place_of_birth": _google_re("place_of_birth", "{subject} was born in {mask} ."),
    "google_re_place_of_death": _google_re("place_of_death", "{subject} died in {mask} .", of="deceased_person"),
    "conceptnet": _sentences(("ConceptNet/test.jsonl", "ConceptNet/subset*.jsonl"), "uuid"),
    "squad": _sentences(("Squad/test.jsonl",), "id"),
}


def read_probe(probe: Probe, path: Path) -> RawSplit:
    """All rows of a probe's file, checked."""
    split, ids = RawSplit(path), UniqueIds(probe.id_field)
    for record in read_json_lines(path):
        split.lines += 1
        split.read += 1
        identity = record.text(probe.id_field)
        ids.add(record, identity)
        answer, sentences = record.text("obj_label").strip(), record.texts("masked_sentences")
        if probe.type != SENTENCE:
            fields = {"subject": _subject(record, probe, answer)}
        elif sentences[0].count(BLANK) > 1:
            split.dropped[SEVERAL_BLANKS] += 1
            continue
        else:
            fields = _around_the_blank(record, sentences)
        split.rows.append(Row(identity, identity, answer, fields))
    return split


def _subject(record: RawRecord, probe: Probe, answer: str) -> str:
    record.choice("pred", {probe.relation: probe.relation})
    if probe.relation.endswith("/date_of_birth") and not re.fullmatch(r"\d{1,4}", answer):
        record.refuse("obj_label", answer, "a year")
    return record.text("sub_label").strip()


def _around_the_blank(record: RawRecord, sentences: list[str]) -> dict[str, str]:
    """`before` without the blank at its end, which belongs to the answer; `after` as it stands."""
    if len(sentences) != 1 or BLANK not in sentences[0]:
        record.refuse("masked_sentences", sentences, f"one sentence with one {BLANK}")
    before, _, after = sentences[0].partition(BLANK)
    return {"before": before.strip(), "after": after.rstrip()}
