"""ReCoRD: queries with a blank on a passage whose entities are the candidates. One example a query."""

import json
import re
from collections.abc import Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed
from softprompt.data.validation import RawRecord

PLACEHOLDER = "@placeholder"
HIGHLIGHT = re.compile(r"\s*\n?@highlight\s*")  # stands between the sentences of the summaries


@FORMATS.register("record")
class ReCoRD(Format):
    """The candidates are the texts of the passage's entities, the label a JSON list of the right ones. Offsets name the
    first and the last character. The hub has no offsets of answers, so it cannot stand in."""

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        passage = record.child("passage")
        text = passage.text("text")
        entities = list(dict.fromkeys(_span(entity, text) for entity in passage.children("entities")))
        sentences = HIGHLIGHT.sub(". ", text).strip()
        for query in record.children("qas"):
            wording = query.text("query")
            if PLACEHOLDER not in wording:
                query.refuse("query", wording, f"a text with {PLACEHOLDER}")
            before, _, after = wording.partition(PLACEHOLDER)
            fields = {
                "passage": sentences,
                "query": wording,
                "before": before.strip(),
                "after": after.lstrip(),
                "passage_and_query": f"{sentences} {wording}",
                "entities": json.dumps(entities, ensure_ascii=False),
            }
            answers = [_answer(answer, text, entities) for answer in query.children("answers")] if labelled else []
            label = json.dumps(sorted(set(answers)), ensure_ascii=False) if labelled else ""
            yield Parsed(f"{self.id_of(record)}-{query.integer('idx')}", label, fields)


def _answer(answer: RawRecord, text: str, entities: list[str]) -> str:
    wording = answer.text("text")
    if wording != _span(answer, text):
        answer.refuse("text", wording, f"the passage between its offsets ({_span(answer, text)!r})")
    if wording not in entities:
        answer.refuse("text", wording, "one of the passage's entities")
    return wording


def _span(entity: RawRecord, text: str) -> str:
    start, end = entity.integer("start"), entity.integer("end")
    if not start <= end < len(text):
        entity.refuse("end", end, f"an offset in {start}..{len(text) - 1}")
    return text[start : end + 1]
