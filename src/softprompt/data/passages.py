"""Passages as ordinary prose for pretraining: BoolQ's and MultiRC's training passages and XQuAD's paragraphs.

No question and no label is in it, and no passage of a validation set. A passage may happen to mention a fact that the
text of facts withholds.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from softprompt.data.examples import read_examples
from softprompt.data.suite_layouts import raw_files
from softprompt.data.validation import RESTORE
from softprompt.errors import UserError, reason_of
from softprompt.tasks.load import load_data_section
from softprompt.user_files import is_there, read_user_text

PASSAGE_TASKS = ("boolq", "multirc")
XQUAD = Path("extra") / "xquad" / "xquad.en.json"
LONGEST = 200  # characters of a document: about 50 to 70 tokens
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def read_prose(root: Path) -> list[str]:
    """Documents of whole sentences, each at most LONGEST characters, of all files that are there; each passage once.

    Documents with letters beyond ASCII, about one in twenty, are left out: split into bytes, they would need wide rows.
    """
    passages = dict.fromkeys((*_superglue_passages(root), *_xquad_paragraphs(root / XQUAD)))
    return [document for passage in passages for document in documents_of(passage) if document.isascii()]


def documents_of(passage: str) -> Iterator[str]:
    """A passage in documents; a sentence that is too long is broken between words."""
    waiting = ""
    for sentence in SENTENCE_END.split(" ".join(passage.split())):
        for part in textwrap.wrap(sentence, LONGEST):
            if waiting and len(waiting) + 1 + len(part) > LONGEST:
                yield waiting
                waiting = ""
            waiting = f"{waiting} {part}".strip()
    if waiting:
        yield waiting


def _superglue_passages(root: Path) -> Iterator[str]:
    for task in PASSAGE_TASKS:
        data = load_data_section("superglue", task)
        path = raw_files(root, data).get("train")
        if path is not None:
            yield from (row.fields["passage"] for row in read_examples(data, path, labelled=True).rows)


def _xquad_paragraphs(path: Path) -> list[str]:
    if not is_there(path):
        return []
    try:
        articles = json.loads(read_user_text(path, "a SQuAD file"))["data"]
        return [str(paragraph["context"]) for article in articles for paragraph in article["paragraphs"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {reason_of(error)}"
        raise UserError(
            f"{path}: not a SQuAD file ({problem}); expected data[].paragraphs[].context; {RESTORE}"
        ) from None
