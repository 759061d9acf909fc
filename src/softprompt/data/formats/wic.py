"""WiC: a word in two sentences, with the offsets where it stands."""

from collections.abc import Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, Row, text_of
from softprompt.data.validation import RawRecord


@FORMATS.register("wic")
class WiC(Format):
    official_columns = ("word", "sentence1", "sentence2", "start1", "end1", "start2", "end2")

    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        word = text_of(record, "word")
        for number in "12":
            _check_word_span(record, number)
        sentence1, sentence2 = text_of(record, "sentence1"), text_of(record, "sentence2")
        fields = {
            "word": word,
            "sentence1": sentence1,
            "sentence2": sentence2,
            "use1": f"{word}: {sentence1}",
            "use2": f"{word}: {sentence2}",
        }
        yield Parsed(self.id_of(record), self.label_of(record, labelled=labelled), fields)

    def official_row(self, given: Row) -> Row:
        """Offsets, which no template reads: the whole sentence where they are missing."""
        spans: Row = {}
        for number in "12":
            sentence = given[f"sentence{number}"]
            if isinstance(sentence, str) and f"start{number}" not in given:
                text = sentence.strip()
                spans |= {f"sentence{number}": text, f"start{number}": 0, f"end{number}": len(text)}
        return given | spans


def _check_word_span(record: RawRecord, number: str) -> None:
    """The span has to be whole words; a form of the verb before `n't` counts as one ("doesn't" holds "does")."""
    sentence = record.text(f"sentence{number}")
    start, end = record.integer(f"start{number}"), record.integer(f"end{number}")
    span, length = sentence[start:end], len(sentence)
    if not start < end <= length:
        record.refuse(f"end{number}", end, f"an offset in {start + 1}..{length}, after start{number} = {start}")
    if span != span.strip() or (span[0].isalnum() and sentence[:start][-1:].isalnum()):
        record.refuse(f"start{number}", start, f"where a word of sentence{number} begins (it gives {span!r})")
    if sentence[end : end + 1].isalnum() and not sentence[end:].lower().startswith("n't"):
        record.refuse(f"end{number}", end, f"where a word of sentence{number} ends (it gives {span!r})")
