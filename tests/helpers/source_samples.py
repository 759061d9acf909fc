"""Small official files of every suite, and packed as they are published."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from helpers.task_files import FOLDERS

Json = dict[str, Any]

CLASS_LABELS = {  # as the dataset cards of aps/super_glue and nyu-mll/glue number them
    "CB": ["entailment", "contradiction", "neutral"],
    "RTE": ["entailment", "not_entailment"],
}


# --- small official files -----------------------------------------------------------------------------------------


def superglue_row(task: str, idx: int) -> Json:
    """An official row of any task. Labels alternate."""
    one, truth = f"Ann met Bob {idx} times.", idx % 2 == 1
    return {
        "BoolQ": {"question": f"did ann meet bob {idx} times", "passage": one, "idx": idx, "label": truth},
        "CB": {"premise": one, "hypothesis": "They met — naïvely.", "label": CLASS_LABELS["CB"][idx % 3], "idx": idx},
        "COPA": {
            "premise": one, "choice1": "He smiled.", "choice2": "It rained.", "question": "effect",
            "label": idx % 2, "idx": idx,
        },
        "MultiRC": {
            "idx": idx,
            "version": 1.1,
            "passage": {
                "text": one,
                "questions": [
                    {
                        "question": f"Who met {number}?",
                        "idx": 2 * idx + number,
                        "answers": [
                            {"text": text, "idx": 8 * idx + 4 * number + place, "label": (idx + place) % 2}
                            for place, text in enumerate(["Ann", "Eve", ""])
                        ],
                    }
                    for number in range(2)
                ],
            },
        },
        "RTE": {"premise": one, "hypothesis": "They met.", "label": CLASS_LABELS["RTE"][idx % 2], "idx": idx},
        "WSC": {
            "text": f"Ann saw Eve when she left at {idx}.",
            "target": {"span1_text": "Ann", "span1_index": 0, "span2_text": "she", "span2_index": 4},
            "label": truth,
            "idx": idx,
        },
        "ReCoRD": {
            "idx": idx,
            "passage": {"text": one, "entities": [{"start": 0, "end": 2}, {"start": 8, "end": 10}]},
            "qas": [
                {
                    "idx": idx,
                    "query": "@placeholder met Bob.",
                    "answers": [{"start": 0, "end": 2, "text": "Ann"}],
                }
            ],
        },
        "WiC": {
            "word": "bank", "sentence1": "The banks were open.", "sentence2": "A bank of sand.", "version": 1.1,
            "start1": 4, "end1": 9, "start2": 2, "end2": 6, "label": truth, "idx": idx,
        },
    }[task]  # fmt: skip


def without_labels(row: Json) -> Json:
    """As the test files have it."""
    bare = json.loads(json.dumps({key: value for key, value in row.items() if key != "label"}))
    for query in bare.get("qas", ()):
        del query["answers"]
    for question in bare["passage"].get("questions", ()) if isinstance(bare.get("passage"), dict) else ():
        for answer in question["answers"]:
            del answer["label"]
    return bare


TASKS = sorted(FOLDERS.values())
SUPERGLUE = {
    task: {
        "train": [superglue_row(task, idx) for idx in range(20)],
        "val": [superglue_row(task, idx) for idx in range(20, 26)],
        "test": [without_labels(superglue_row(task, idx)) for idx in range(3)],
    }
    for task in TASKS
}
SENTENCES = ['a "quoted', "the film 's heart ", "Plain words.", "naïve \"and\" 'dry'"]
GLUE = {
    "SST-2": {
        name: "sentence\tlabel\n"
        + "".join(f"{number} {SENTENCES[number % 4]}\t{number % 2}\n" for number in range(rows))
        for name, rows in (("train", 20), ("dev", 6))
    },
    "RTE": {
        name: "index\tsentence1\tsentence2\tlabel\n"
        + "".join(
            f"{number}\tIt is {number}.\tWas it {number}?\t{CLASS_LABELS['RTE'][number % 2]}\n"
            for number in range(rows)
        )
        for name, rows in (("train", 20), ("dev", 6))
    },
}
PARAPHRASES = [f'{number % 2}\t{number}\t{number + 100}\tHe said {number}.\t"Yes, {number}.\n' for number in range(26)]
MRPC_HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
DEV_IDS = "".join(f"{number}\t{number + 100}\n" for number in range(1, 26, 5))
GLUE["MRPC"] = {
    "train": MRPC_HEADER + "".join(row for number, row in enumerate(PARAPHRASES) if number % 5 != 1),
    "dev": MRPC_HEADER + "".join(row for number, row in enumerate(PARAPHRASES) if number % 5 == 1),
}
FACTS = [
    {"uuid": f"u{i}", "obj_uri": "Q1", "obj_label": f"city{i % 3}", "sub_uri": "Q2", "sub_label": f"Ann {i}",
     "predicate_id": "P19", "evidences": [{"sub_surface": "A", "obj_surface": "x", "masked_sentence": s} for s in "ab"]}
    for i in range(6)
]  # fmt: skip
RELATION = {"relation": "P19", "template": "[X] was born in [Y] .", "label": "born", "description": "d", "type": "N-1"}
VOCABULARY = json.dumps({"bert": ["city0", "city1"], "gpt2": ["\u0120city1", "\u0120city0"]})


def lines(rows: list[Json]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def training(rows: range) -> list[Json]:
    return [{"sub_label": f"Eve {i}", "obj_label": f"city{i % 3}"} for i in rows]


def local_files() -> dict[str, bytes]:
    """The layout of data/raw: content by path."""
    files = {f"superglue/{task}/{name}.jsonl": lines(rows) for task in TASKS for name, rows in SUPERGLUE[task].items()}
    files |= {
        f"glue/{task}/{name}.tsv": text.encode() for task, splits in GLUE.items() for name, text in splits.items()
    }
    files |= {
        "lama/relations.jsonl": lines([RELATION]),
        "lama/TREx/P19.jsonl": lines(FACTS),
        "lama/autoprompt/P19/train.jsonl": lines(training(range(9))),
        "lama/autoprompt/P19/dev.jsonl": lines(training(range(9, 12))),
        "lama/vocab/29k-vocab.json": VOCABULARY.encode(),
        "prompts/pararel/P19.jsonl": lines([{"pattern": "[X] is from [Y]"}]),
    }
    return files


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def published() -> dict[str, bytes]:
    """What the servers of the official table hold, by the path of each address."""
    files = local_files()
    fewglue = {
        f"{task}/{name}": files[f"superglue/{task}/{name}"]
        for task in ("CB", "RTE")
        for name in ("train.jsonl", "val.jsonl")
    }
    fewglue |= {
        f"{task}/dev32.jsonl": lines([superglue_row(task, idx) for idx in range(40, 44)]) for task in ("CB", "RTE")
    }
    inside = {
        f"glue/superglue/data/v2/{task}.zip": zipped(
            {f"{task}/{name}.jsonl": lines(rows) for name, rows in SUPERGLUE[task].items()} | {"__MACOSX/._x": b""}
        )
        for task in TASKS
    }
    inside |= {
        f"glue/data/{task}.zip": zipped({f"{task}/{name}.tsv": text.encode() for name, text in GLUE[task].items()})
        for task in ("SST-2", "RTE")
    }
    p19 = "LAMA/fact-retrieval/original/P19"
    inside |= {
        "senteval/senteval_data/msr_paraphrase_train.txt": ("\ufeff" + MRPC_HEADER + "".join(PARAPHRASES))
        .replace("\n", "\r\n").encode(),
        "glue/data/mrpc_dev_ids.tsv": DEV_IDS.encode(),
        "LAMA/data.zip": zipped({"data/TREx/P19.jsonl": lines(FACTS), "data/relations.jsonl": lines([RELATION])}),
        "record/5578210/files/P-tune_LAMA.tar.gz": tarred(
            {f"{p19}/{name}.jsonl": files[f"lama/autoprompt/P19/{name}.jsonl"] for name in ("train", "dev")}
            | {"LAMA/29k-vocab.json": VOCABULARY.encode(), "LAMA/._29k-vocab.json": b"junk"}
        ),
    }  # fmt: skip
    base = "yanaiela/pararel/cb5554678457beb5ac163d888f1ce8cf174b3f0b/data/pattern_data/graphs_json/"
    inside[f"{base}P19.jsonl"] = files["prompts/pararel/P19.jsonl"]
    base = "THUDM/P-tuning/f4225d4d8003868b31ed659dfe9732a351ad42d9/FewGLUE_32dev/"
    return inside | {base + path: content for path, content in fewglue.items()}


def moved_to(url: str, source: Path, target: Path) -> None:
    """A copy of a YAML file with all that it says is published at another server's address, without hashes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    content = _changed(yaml.safe_load(source.read_text()), lambda address: f"{url}/{address.split('/', 3)[3]}")
    target.write_text(yaml.safe_dump(content, sort_keys=False))


def _changed(value: Any, moved: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_changed(item, moved) for item in value]
    if not isinstance(value, dict):
        return value
    result = {key: _changed(item, moved) for key, item in value.items()}
    result |= {key: moved(value[key]) for key in ("url", "base") if key in value}
    if "url" in value:
        result["sha256"] = None
    return result | ({"files": dict.fromkeys(value["files"])} if "base" in value else {})
