"""COPA, WSC and ReCoRD in their official formats, in a few examples whose answers are texts."""

import json
from pathlib import Path

from helpers.task_files import FOLDERS
from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data.prepare import prepare_suite
from softprompt.paths import Paths


def rows_of(task: str, index: int) -> dict[str, object]:
    if task == "copa":
        return {
            "premise": f"The river rose {index} times.",
            "choice1": "It rained.",
            "choice2": "The sun was very hot over the hills.",
            "question": "cause" if index % 2 else "effect",
            "label": index % 2,
            "idx": index,
        }
    if task == "wsc":
        target = {"span1_text": "Old Ann", "span1_index": 0, "span2_text": "she", "span2_index": 6}
        text = f"Old Ann met Bea {index} because she was late."
        return {"text": text, "target": target, "label": index % 3 > 0, "idx": index}
    passage = {
        "text": f"Old Ann met Bob. That was {index}.",
        "entities": [{"start": 0, "end": 6}, {"start": 12, "end": 14}],
    }
    answer = {"start": 0, "end": 6, "text": "Old Ann"} if index % 2 else {"start": 12, "end": 14, "text": "Bob"}
    query = {"query": f"On day {index} @placeholder met somebody.", "answers": [answer], "idx": 0}
    return {"passage": passage, "qas": [query], "idx": index}


def prepared_texts(folder: Path) -> Path:
    """data/prepared of all three."""
    raw, out = folder / "raw", folder / "prepared"
    for task in ("copa", "wsc", "record"):
        for name, count in (("train", 16), ("val", 7)):
            path = raw / "superglue" / FOLDERS[task] / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(rows_of(task, index)) + "\n" for index in range(count)))
    settings = SuiteSettings(source="local", path=str(raw), dev_share=0.3)
    prepare_suite("superglue", settings, WorldSettings(), Paths(out))
    return Paths(out).prepared
