"""SuperGLUE, FewGLUE, GLUE and the example set as prepared tasks: which file becomes which split.

SuperGLUE's and GLUE's test sets have no labels, so the validation set is our test and dev is carved from train.
FewGLUE has 32 training rows, 32 dev rows, and the same test; with `split_seed` both are drawn anew. The test files
become the split `unanswered`, for submissions.
"""

from pathlib import Path

from softprompt.config import SuiteSettings
from softprompt.data import extra, glue
from softprompt.data.few_shot import draw_few_shot
from softprompt.data.prepared_task import PreparedTask
from softprompt.data.rows import RawSplit
from softprompt.data.splits import carve_dev, sample
from softprompt.data.superglue import FOLDERS, read_nlu_split
from softprompt.errors import UserError
from softprompt.tasks.metrics import question_of

LICENCES = {"boolq": "CC BY-SA 3.0"}
UNANSWERED = "unanswered"  # the test files of SuperGLUE and GLUE
OTHER_LICENCE = {"glue": "the task's own, see gluebenchmark.com"}
SUPERGLUE_LICENCE = "the task's own, see super.gluebenchmark.com"
NEEDED = {
    "superglue": {"train": "train.jsonl", "test": "val.jsonl"},
    "fewglue": {"train": "train.jsonl", "dev": "dev32.jsonl", "test": "val.jsonl"},
    "glue": {"train": "train.tsv", "test": "dev.tsv"},
    "extra": {"train": "train.jsonl", "test": "val.jsonl"},
}


def folders_of(suite: str) -> dict[str, str]:
    """The folder of every task that a suite is known to have."""
    return {"glue": glue.FOLDERS, "extra": extra.FOLDERS}.get(suite, FOLDERS)


def raw_files(root: Path, suite: str, task: str, *, redrawn: bool = False) -> dict[str, Path]:
    """Every official file that a task has there, by split. `redrawn`: FewGLUE's train and dev come from SuperGLUE."""
    name = folders_of(suite)[task]
    folder, superglue = root / suite / name, root / "superglue" / name
    subsets = sorted(folder.glob("train_subset*.jsonl")) if suite == "superglue" else []
    wanted = {
        "superglue": {"train": [folder / "train.jsonl", *subsets], "test": [folder / "val.jsonl"]},
        "fewglue": {
            "train": [folder / "train.jsonl"],
            "dev": [folder / "dev32.jsonl"],
            "test": [folder / "val.jsonl", superglue / "val.jsonl"],
            "unlabeled": [folder / "unlabeled.jsonl"],
        },
        "glue": {
            "train": [folder / "train.tsv", folder / f"{glue.TREEBANK}.train"],
            "test": [folder / "dev.tsv", folder / f"{glue.TREEBANK}.dev"],
        },
        "extra": {"train": [folder / "train.jsonl"], "test": [folder / "val.jsonl"]},
    }[suite]
    if redrawn:
        del wanted["dev"]
        wanted["train"] = [superglue / "train.jsonl", *sorted(superglue.glob("train_subset*.jsonl"))]
    if suite != "fewglue":
        wanted[UNANSWERED] = [folder / f"test.{'tsv' if suite == 'glue' else 'jsonl'}"]
    found = {split: [path for path in paths if path.is_file()] for split, paths in wanted.items()}
    return {split: paths[0] for split, paths in found.items() if paths}


def missing_parts(root: Path, suite: str, *, redrawn: bool = False) -> dict[str, str]:
    """What each known task lacks, in words; "" for a complete one."""
    needed = {"train": "superglue train.jsonl to draw from", "test": "val.jsonl"} if redrawn else NEEDED[suite]
    missing = {}
    for task, folder in folders_of(suite).items():
        there = raw_files(root, suite, task, redrawn=redrawn)
        lacking = [file for split, file in needed.items() if split not in there]
        reason = f"{suite}/{folder} has no {', no '.join(lacking)}" if lacking else ""
        missing[task] = reason if (root / suite / folder).is_dir() else f"there is no folder {suite}/{folder}"
    return missing


def read_nlu_task(root: Path, suite: str, task: str, *, redrawn: bool = False) -> dict[str, RawSplit]:
    """All official files of a task, checked row by row."""
    return {
        split: _read(suite, task, path, labelled=split not in ("unlabeled", UNANSWERED))
        for split, path in raw_files(root, suite, task, redrawn=redrawn).items()
    }


def _read(suite: str, task: str, path: Path, *, labelled: bool) -> RawSplit:
    if suite == "extra":
        return extra.read_extra_split(task, path, path.stem, labelled=labelled)
    if suite != "glue":
        return read_nlu_split(task, path, path.stem, labelled=labelled)
    return glue.read_glue_split(task, path, glue.split_name(path), labelled=labelled)


def prepare_nlu_task(root: Path, suite: str, task: str, settings: SuiteSettings) -> PreparedTask:
    """The tables of a complete task."""
    seed, identity = settings.split_seed, f"{suite}/{task}"
    raw = read_nlu_task(root, suite, task, redrawn=seed is not None)
    tables = {split: content.frame() for split, content in raw.items()}
    if seed is not None:
        tables |= draw_few_shot(tables["train"], task, seed)
    elif "dev" not in tables:
        tables["train"], tables["dev"] = carve_dev(
            tables["train"], settings.dev_share, identity, by_label=task not in ("record", "ner")
        )
        if tables["train"].empty or tables["dev"].empty:
            raise UserError(f"suites.{suite}.dev_share = {settings.dev_share} leaves no train or no dev rows of {task}")
    for split, limit in (("train", settings.train_limit), ("test", settings.test_limit)):
        ids = tables[split]["id"]
        unit = question_of(ids) if task == "multirc" else ids
        tables[split] = sample(tables[split], limit, identity, f"{split} limit", unit)
    licence = OTHER_LICENCE.get(suite) or LICENCES.get(task, SUPERGLUE_LICENCE)
    return PreparedTask(task, licence, list(raw.values()), tables, note=_stand_ins(suite, raw))


def _stand_ins(suite: str, raw: dict[str, RawSplit]) -> str:
    """Which files stand in for official ones that are not there, in words; "" if none does."""
    read = {split: (raw[split].path.name, official) for split, official in NEEDED[suite].items() if split in raw}
    return "; ".join(
        f"{split} is {name}, not {official}" for split, (name, official) in read.items() if name != official
    )
