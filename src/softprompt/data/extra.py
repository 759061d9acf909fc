"""The example set in its files: a folder a task, a JSON-lines file a split."""

import json
from collections.abc import Iterator
from pathlib import Path

from softprompt.data.embedded.prose import PLACES
from softprompt.data.nlu_rows import Parsed, Parser
from softprompt.data.rows import RawSplit
from softprompt.data.superglue import read_split
from softprompt.data.validation import Record, read_records

FOLDERS = {"ner": "ner", "qa": "qa", "sentiment": "sentiment"}
SENTIMENT: dict[object, str] = {"negative": "negative", "positive": "positive"}
ANSWERS: dict[object, str] = {place: place for place in PLACES}
TAGS = ("O", *(f"{place}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for place in "BI"))


def read_extra_split(task: str, path: Path, name: str, *, labelled: bool) -> RawSplit:
    """All examples of one file, checked. Their ids begin with the split's `name`."""
    return read_split(read_records(path), PARSERS[task], path, name, labelled=labelled)


def sentiment(record: Record, labelled: bool) -> Iterator[Parsed]:
    label = record.choice("label", SENTIMENT) if labelled else ""
    yield Parsed(str(record.integer("idx")), label, {"sentence": record.text("sentence").strip()})


def qa(record: Record, labelled: bool) -> Iterator[Parsed]:
    fields = {"passage": record.text("passage").strip(), "question": record.text("question").strip()}
    label = record.choice("answer", ANSWERS) if labelled else ""
    yield Parsed(str(record.integer("idx")), label, fields, shared=fields["passage"])


def ner(record: Record, labelled: bool) -> Iterator[Parsed]:
    """The label is the JSON list of tags, one a word."""
    words = record.texts("words")
    if not all(len(word.split()) == 1 for word in words):
        record.refuse("words", words, "words without blanks")
    tags = record.texts("tags") if labelled else []
    unknown = [tag for tag in tags if tag not in TAGS]
    if unknown:
        record.refuse("tags", unknown[0], f"some of {', '.join(TAGS)}")
    if labelled and len(tags) != len(words):
        record.refuse("tags", tags, f"a tag for each of the {len(words)} words")
    label = json.dumps(tags) if labelled else ""
    yield Parsed(str(record.integer("idx")), label, {"words": " ".join(words)})


PARSERS: dict[str, Parser] = {"ner": ner, "qa": qa, "sentiment": sentiment}
