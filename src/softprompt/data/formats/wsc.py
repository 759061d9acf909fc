"""WSC: does a pronoun of a text refer to a candidate?"""

import string
from collections.abc import Iterable, Iterator

from softprompt.data.formats.file_format import FORMATS, Format, Parsed, Row
from softprompt.data.validation import RawRecord

PRONOUN_OFF_BY_ONE = "span2_index off by one"
SPANS = ("span1_text", "span1_index", "span2_text", "span2_index")


@FORMATS.register("wsc")
class Wsc(Format):
    def parse(self, record: RawRecord, *, labelled: bool) -> Iterator[Parsed]:
        words, target = record.text("text").split(), record.child("target")
        candidate = _find_candidate(target, words, labelled)
        position, repaired = _find_pronoun(target, words)
        pronoun = target.text("span2_text").strip()
        text = " ".join(words)
        fields = {
            "text": text,
            "marked": " ".join([*words[:position], f"*{words[position]}*", *words[position + 1 :]]),
            "pronoun": pronoun,
            "candidate_text": candidate,
            "pronoun_in_text": f"{pronoun}: {text}",
        }
        yield Parsed(self.id_of(record), self.label_of(record, labelled=labelled), fields, repaired=repaired)

    def official_rows(self, hub_rows: Iterable[Row]) -> Iterator[Row]:
        """The hub has the spans beside the text; officially they are nested."""
        for row in hub_rows:
            target = {column: row[column] for column in SPANS}
            yield self.with_hub_label(row, {"text": row["text"], "target": target, "idx": row["idx"]})


def _bare(words: list[str]) -> list[str]:
    """Words without case, outer punctuation and possessive ending, as the spans of WSC differ from its texts."""
    stripped = [word.lower().strip(string.punctuation) for word in words]
    return [word.removesuffix("'s") for word in stripped]


def _find_candidate(target: RawRecord, words: list[str], labelled: bool) -> str:
    """The first span with single blanks. Rows without labels may hold antecedents that the text never names in one
    piece ("Stalin and Kamenev"): there each word of it has to occur."""
    span = target.text("span1_text").split()
    index = target.integer("span1_index")
    if index >= len(words):
        target.refuse("span1_index", index, f"a position among the {len(words)} words of the text")
    named = words[index : index + len(span)]
    together = not labelled and "and" in span and set(_bare(span)) - {"and"} <= set(_bare(words))
    if _bare(named) != _bare(span) and not together:
        target.refuse("span1_text", " ".join(span), f"the words at span1_index = {index} ({' '.join(named)!r})")
    return " ".join(span)


def _find_pronoun(target: RawRecord, words: list[str]) -> tuple[int, str]:
    """Position of the pronoun and what was mended: one official row (val 42) points at the word before it."""
    span, index = target.text("span2_text").strip(), target.integer("span2_index")
    if index >= len(words):
        target.refuse("span2_index", index, f"a position among the {len(words)} words of the text")
    bare = _bare(words)
    wanted = _bare([span])[0]
    if bare[index] == wanted:
        return index, ""
    beside = [near for near in (index + 1, index - 1) if 0 <= near < len(words) and bare[near] == wanted]
    if not beside:
        target.refuse("span2_text", span, f"the word at span2_index = {index} ({words[index]!r})")
    return beside[0], PRONOUN_OFF_BY_ONE
