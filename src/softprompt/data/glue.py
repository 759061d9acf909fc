"""GLUE in its official files: a folder a task, a tab-separated file a split, with a header and without any quoting.

SST-2 may stand in the files of the Stanford treebank's binary split instead (stsa.binary.*: a label, a blank, a
sentence).
"""

import string
from collections.abc import Iterator
from pathlib import Path

from softprompt.data.nlu_rows import ENTAILMENT, Parsed, Parser
from softprompt.data.rows import RawSplit
from softprompt.data.superglue import read_split
from softprompt.data.validation import RESTORE, Record, read_lines
from softprompt.errors import UserError

FOLDERS = {"mrpc": "MRPC", "rte": "RTE", "sst2": "SST-2"}
TREEBANK = "stsa.binary"
SENTIMENT: dict[object, str] = {"0": "negative", "1": "positive"}
PARAPHRASE: dict[object, str] = {"0": "not_equivalent", "1": "equivalent"}


def read_table(path: Path) -> Iterator[Record]:
    """Every row of a tab-separated file as a record of texts by column name; of the treebank's files, two columns."""
    lines = read_lines(path)
    if path.name.startswith(TREEBANK):
        for number, line in enumerate(lines, start=1):
            label, _, sentence = line.partition(" ")
            yield Record(path, number, {"label": label, "sentence": sentence})
        return
    header = lines[0].split("\t")
    for number, line in enumerate(lines[1:], start=2):
        values = line.split("\t")
        if len(values) != len(header):
            raise UserError(
                f"{path}:{number}: {len(values)} columns; expected {len(header)} ({', '.join(header)}); {RESTORE}"
            )
        yield Record(path, number, dict(zip(header, values, strict=True)))


def read_glue_split(task: str, path: Path, name: str, *, labelled: bool) -> RawSplit:
    """All examples of one file, checked. Their ids begin with the split's `name`."""
    return read_split(read_table(path), PARSERS[task], path, name, labelled=labelled, id_field="index")


def split_name(path: Path) -> str:
    """What the ids of a file's examples begin with: train of train.tsv and of stsa.binary.train."""
    return path.name.removeprefix(f"{TREEBANK}.").removesuffix(".tsv")


def _text(record: Record, field: str) -> str:
    return record.text(field).strip()


def _continued(text: str) -> str:
    """The text as it goes on after a comma: its first letter small (LM-BFF's `+sentl`)."""
    return text[0].lower() + text[1:]


def sst2(record: Record, labelled: bool) -> Iterator[Parsed]:
    label = record.choice("label", SENTIMENT) if labelled else ""
    yield Parsed(str(record.line), label, {"sentence": _text(record, "sentence")})


def mrpc(record: Record, labelled: bool) -> Iterator[Parsed]:
    label = record.choice("Quality", PARAPHRASE) if labelled else ""
    first, second = _text(record, "#1 String"), _text(record, "#2 String")
    fields = {"sentence1": first, "sentence2": second, "continuation": _continued(second)}
    yield Parsed(str(record.line), label, fields)


def glue_rte(record: Record, labelled: bool) -> Iterator[Parsed]:
    """SuperGLUE's RTE rows under other column names, with the fields that LM-BFF's template needs."""
    label = record.choice("label", ENTAILMENT) if labelled else ""
    premise, hypothesis = _text(record, "sentence1"), _text(record, "sentence2")
    bare = hypothesis.rstrip(string.punctuation + " ") or hypothesis
    fields = {
        "premise": premise,
        "hypothesis": hypothesis,
        "claim": bare,
        "statement": premise.rstrip(string.punctuation + " ") or premise,
        "continuation": _continued(hypothesis),
    }
    yield Parsed(_index(record), label, fields)


def _index(record: Record) -> str:
    index = record.text("index")
    if not index.isdecimal():
        record.refuse("index", index, "a whole number of at least 0")
    return str(int(index))


PARSERS: dict[str, Parser] = {"mrpc": mrpc, "rte": glue_rte, "sst2": sst2}
