"""Which files the suites of labelled tasks are made of. What a task has of its own stands in its definition.

SuperGLUE's and GLUE's test sets have no labels, so the validation set is our test and dev is carved from train.
FewGLUE has 32 training rows, 32 dev rows, and the same test. The test files become the split `unanswered`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from softprompt.tasks.data_section import DataSection

UNANSWERED = "unanswered"
UNLABELLED = ("unlabeled", UNANSWERED)  # splits whose files have no labels
SUPERGLUE_TRAIN = ("superglue/{folder}/train.jsonl", "superglue/{folder}/train_subset*.jsonl")
Files = Mapping[str, tuple[str, ...]]  # split -> patterns below the raw folder; the first file that is there is read


@dataclass(frozen=True)
class SuiteLayout:
    """Files by split, the official one first; `needed` says without which a task is not complete."""

    licence: str
    files: Files
    members: str = ""  # whole names of an archive's members that are wanted; each goes to the task's folder
    hub: str = ""  # repository@revision of the suite's dataset
    hub_files: Mapping[str, str] = field(default_factory=dict)  # official file -> the hub's split

    def needed(self, suite: str) -> dict[str, str]:
        """Split -> its official file, in words, for train, dev and test."""
        words = {}
        for split in ("train", "dev", "test"):
            place, _, name = self.files.get(split, ("",))[0].partition("/{folder}/")
            if name:
                words[split] = name if place == suite else f"{place} {name} to draw from"
        return words


GENERATED = "generated, Apache-2.0"
SUPERGLUE_LICENCE = "the task's own, see super.gluebenchmark.com"
LAYOUTS = {
    "superglue": SuiteLayout(
        licence=SUPERGLUE_LICENCE,
        files={
            "train": SUPERGLUE_TRAIN,
            "test": ("superglue/{folder}/val.jsonl",),
            UNANSWERED: ("superglue/{folder}/test.jsonl",),
        },
        members=r"(?:.*/)?(?:train|val|test)\.jsonl",
        hub="aps/super_glue@3de24cf8022e94f4ee4b9d55a6f539891524d646",
        hub_files={"train.jsonl": "train", "val.jsonl": "validation", "test.jsonl": "test"},
    ),
    "fewglue": SuiteLayout(
        licence=SUPERGLUE_LICENCE,
        files={
            "train": ("fewglue/{folder}/train.jsonl",),
            "dev": ("fewglue/{folder}/dev32.jsonl",),
            "test": ("fewglue/{folder}/val.jsonl", "superglue/{folder}/val.jsonl"),
            "unlabeled": ("fewglue/{folder}/unlabeled.jsonl",),
        },
    ),
    "glue": SuiteLayout(
        licence="the task's own, see gluebenchmark.com",
        files={
            "train": ("glue/{folder}/train.tsv",),
            "test": ("glue/{folder}/dev.tsv",),
            UNANSWERED: ("glue/{folder}/test.tsv",),
        },
        members=r"[^/]+/(?:train|dev|test)\.tsv",
        hub="nyu-mll/glue@bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
        hub_files={"train.tsv": "train", "dev.tsv": "validation"},
    ),
    "extra": SuiteLayout(
        licence=GENERATED,
        files={"train": ("extra/{folder}/train.jsonl",), "test": ("extra/{folder}/val.jsonl",)},
    ),
}
FEWGLUE = LAYOUTS["fewglue"]
REDRAWN = SuiteLayout(  # FewGLUE with examples of its own draw
    licence=FEWGLUE.licence,
    files={
        "train": SUPERGLUE_TRAIN,
        "test": FEWGLUE.files["test"],
        "unlabeled": FEWGLUE.files["unlabeled"],
    },
)


def layout_of(suite: str, *, redrawn: bool = False) -> SuiteLayout:
    """The suite's files. `redrawn`: FewGLUE's train and dev are drawn from SuperGLUE's train file."""
    return REDRAWN if redrawn else LAYOUTS[suite]


def raw_files(root: Path, data: DataSection, *, redrawn: bool = False) -> dict[str, Path]:
    """Every file that a task has below a raw folder, by split."""
    files = {}
    for split, patterns in layout_of(data.suite, redrawn=redrawn).files.items():
        stand_in = data.membership.stand_ins.get(split)
        wanted = [pattern.format(folder=data.folder) for pattern in patterns]
        wanted += [f"{data.suite}/{data.folder}/{stand_in}"] if stand_in else []
        paths = [path for pattern in wanted for path in sorted(root.glob(pattern))]
        if paths:
            files[split] = paths[0]
    return files
