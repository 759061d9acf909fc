"""Rows of hub datasets -> rows of the official files. Labels are numbers there, -1 where there is none."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

Row = dict[str, Any]

NONE = -1
LAMA_COLUMNS = (
    "uuid",
    "obj_uri",
    "obj_label",
    "sub_uri",
    "sub_label",
    "predicate_id",
    "template",
    "label",
    "description",
    "type",
)


def _labelled(row: Row, official: Row, names: tuple[Any, ...]) -> Row:
    return official if row["label"] == NONE else {**official, "label": names[row["label"]]}


def _plain(fields: tuple[str, ...], names: tuple[Any, ...]) -> Callable[[Iterable[Row]], Iterator[Row]]:
    """For tasks whose rows differ from the official ones by their labels only."""

    def convert(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield _labelled(row, {field: row[field] for field in (*fields, "idx")}, names)

    return convert


def _wsc(rows: Iterable[Row]) -> Iterator[Row]:
    spans = ("span1_text", "span1_index", "span2_text", "span2_index")
    for row in rows:
        official = {"text": row["text"], "target": {field: row[field] for field in spans}, "idx": row["idx"]}
        yield _labelled(row, official, (False, True))


def _multirc(rows: Iterable[Row]) -> Iterator[Row]:
    """The answers of a paragraph stand together; officially they are nested under their questions."""
    for paragraph, of_paragraph in groupby(rows, key=lambda row: row["idx"]["paragraph"]):
        questions: dict[int, Row] = {}
        for row in of_paragraph:
            text, number = row["paragraph"], row["idx"]["question"]
            question = questions.setdefault(number, {"question": row["question"], "answers": [], "idx": number})
            answer = {"text": row["answer"], "idx": row["idx"]["answer"]}
            question["answers"].append(_labelled(row, answer, (0, 1)))
        yield {"idx": paragraph, "passage": {"text": text, "questions": list(questions.values())}}


BOOLEAN = (False, True)
SUPERGLUE: dict[
    str, Callable[[Iterable[Row]], Iterator[Row]]
] = {  # ReCoRD is not here: the hub has no offsets of answers
    "BoolQ": _plain(("question", "passage"), BOOLEAN),
    "CB": _plain(("premise", "hypothesis"), ("entailment", "contradiction", "neutral")),
    "COPA": _plain(("premise", "choice1", "choice2", "question"), (0, 1)),
    "MultiRC": _multirc,
    "RTE": _plain(("premise", "hypothesis"), ("entailment", "not_entailment")),
    "WSC": _wsc,
    "WiC": _plain(("word", "sentence1", "sentence2", "start1", "end1", "start2", "end2"), BOOLEAN),
}


def _sst2(row: Row) -> list[str]:
    return [row["sentence"], str(row["label"])]


def _mrpc(row: Row) -> list[str]:
    return [str(row["label"]), "0", "0", row["sentence1"], row["sentence2"]]  # the hub has dropped the sentences' ids


def _rte(row: Row) -> list[str]:
    return [str(row["idx"]), row["sentence1"], row["sentence2"], ("entailment", "not_entailment")[row["label"]]]


GLUE: dict[str, tuple[str, list[str], Callable[[Row], list[str]]]] = {
    "SST-2": ("sst2", ["sentence", "label"], _sst2),
    "MRPC": ("mrpc", ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], _mrpc),
    "RTE": ("rte", ["index", "sentence1", "sentence2", "label"], _rte),
}


def fact(row: Row) -> Row:
    """A line of a T-REx file, without the sentences."""
    return {field: row[field] for field in LAMA_COLUMNS[:6]}


def relation(row: Row) -> Row:
    """A line of relations.jsonl."""
    return {"relation": row["predicate_id"], **{field: row[field] for field in LAMA_COLUMNS[6:]}}
