"""LPAQA: manual templates that were mined from text or paraphrased, the few with the highest weights of a relation.

Jiang et al. 2020, "How Can We Know What Language Models Know?", https://arxiv.org/abs/1911.12543; the weights are those
of their optimised ensemble.
"""

from pathlib import Path
from sys import float_info

from softprompt.data.lama import SAME_WORDING, ManualTemplate, read_wording, without_blanks
from softprompt.data.record_files import read_json_lines
from softprompt.data.rows import RawSplit
from softprompt.data.validation import RESTORE, RawRecord
from softprompt.user_files import is_there

FAMILIES = ("mine", "paraphrase")
TOP = 3  # templates of a family
LIGHTER = f"not among the {TOP} of highest weight"


def lpaqa_files(root: Path, relation: str) -> dict[str, Path]:
    """The files of a relation's prompts that are there, by family."""
    paths = {family: root / "prompts" / "lpaqa" / family / f"{relation}.jsonl" for family in FAMILIES}
    return {family: path for family, path in paths.items() if is_there(path)}


def weighed_wordings(path: Path) -> list[str]:
    """All wordings of a file, heaviest first."""
    weighed = [(-_weight(record), read_wording(record, "template")) for record in read_json_lines(path)]
    return [text for _, text in sorted(weighed, key=lambda pair: pair[0])]


def read_lpaqa(path: Path, family: str, earlier: list[ManualTemplate]) -> tuple[list[ManualTemplate], RawSplit]:
    """The heaviest templates of a file that say something new, heaviest first, and the account of the file."""
    account, known = RawSplit(path), {without_blanks(template.text) for template in earlier}
    weighed = weighed_wordings(path)
    templates: list[ManualTemplate] = []
    for text in weighed:
        if without_blanks(text) in known:
            account.dropped[SAME_WORDING] += 1
        elif len(templates) == TOP:
            account.dropped[LIGHTER] += 1
        else:
            known.add(without_blanks(text))
            templates.append(ManualTemplate(f"lpaqa-{family}-{len(templates) + 1}", text, f"LPAQA, {family}"))
    account.lines = account.read = len(weighed)
    return templates, account


def _weight(record: RawRecord) -> float:
    weight = record.value.get("weight")
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= float_info.max:
        record.refuse("weight", weight, "a number of at least 0", RESTORE)
    return float(weight)
