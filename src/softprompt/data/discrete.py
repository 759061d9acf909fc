"""Prompts of words of LAMA's relations beside the manual templates: LPAQA's families and published AutoPrompt triggers.

A relation's own file of LPAQA's (prompts/lpaqa/FAMILY/RELATION.jsonl) is read where it is there. Where a relation has
none and there is pretraining text, the generated world's, prompts are mined from that text with the relation's train
facts, and its template is paraphrased by rules.
"""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from softprompt.data.lama import ManualTemplate, read_wording, without_blanks
from softprompt.data.lpaqa_prompts import FAMILIES, lpaqa_files, weighed_wordings
from softprompt.data.mining import mined_wordings
from softprompt.data.paraphrases import paraphrases
from softprompt.data.prepared_task import PreparedTask
from softprompt.data.record_files import read_json_lines
from softprompt.data.rows import RawSplit
from softprompt.errors import UserError

DISCRETE = "prompts.json"
MOST = 40  # prompts of a family; Jiang et al. 2020, section 5.1: at most 40 candidates
OTHERS = "of another relation"
Prompts = dict[str, list[str]]  # family -> wordings, the best first


def add_discrete_prompts(root: Path, tasks: list[PreparedTask]) -> None:
    """Give every relation that has such prompts a file `prompts.json`, and account for the trigger files read.

    Raises UserError with file and line where a prompt is none.
    """
    relations = [task for task in tasks if "train" in task.tables]
    generated = _generated_prompts(root, relations)
    triggers = _published_triggers(root)
    for task in tasks:
        given = {family: weighed_wordings(path) for family, path in lpaqa_files(root, task.name).items()}
        families = given or generated.get(task.name, {})
        source = "LPAQA" if given else "softprompt, after LPAQA"
        prompts = [
            ManualTemplate(f"lpaqa-{family}-{number}", text, f"{source}, {family}")
            for family, texts in families.items()
            for number, text in enumerate(_different(texts)[:MOST], start=1)
        ]
        for path, texts in triggers.items():
            if texts.get(task.name):
                prompts.append(ManualTemplate(f"trigger-{path.stem}", texts[task.name], f"AutoPrompt, {path.name}"))
                others = len(texts) - 1
                account = RawSplit(path, lines=len(texts), read=len(texts), dropped=Counter({OTHERS: others}))
                task.raw.append(account)
        if prompts:
            content = {"prompts": [asdict(prompt) for prompt in prompts]}
            task.files[DISCRETE] = json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _generated_prompts(root: Path, relations: list[PreparedTask]) -> dict[str, Prompts]:
    """Mined and paraphrased prompts by relation; none without pretraining text."""
    path = root / "text" / "facts.jsonl"
    if not path.is_file():
        return {}
    texts = [record.text("text") for record in read_json_lines(path)]
    facts = {
        task.name: list(zip(task.tables["train"]["subject"], task.tables["train"]["label"], strict=True))
        for task in relations
    }
    mined, paraphrase = FAMILIES
    wordings = mined_wordings(texts, facts)
    return {task.name: {mined: wordings[task.name], paraphrase: paraphrases(_manual(task))} for task in relations}


def _manual(task: PreparedTask) -> str:
    return str(json.loads(task.files["templates.json"])["templates"][0]["text"])


def _published_triggers(root: Path) -> dict[Path, dict[str, str]]:
    """The prompt of every relation, by file. Pieces of words stick to the word before, as the files have them.

    A prompt with braces, as one of RoBERTa's has, cannot be distinguished from slots and is left empty."""
    triggers: dict[Path, dict[str, str]] = {}
    for path in sorted((root / "prompts" / "autoprompt").glob("*.jsonl")):
        triggers[path] = {}
        for record in read_json_lines(path):
            name = record.text("relation")
            if name in triggers[path]:
                raise UserError(f"{path}:{record.line}: relation {name} has a prompt already; keep one of the two")
            braces = set("{}") & set(record.text("template"))
            triggers[path][name] = "" if braces else read_wording(record, "template")
    return triggers


def _different(texts: list[str]) -> list[str]:
    """Without those that an earlier one equals but for blanks."""
    different: dict[str, str] = {}
    for text in texts:
        different.setdefault(without_blanks(text), text)
    return list(different.values())
