"""A small working copy whose stages run with faults, and what is compared of two of them."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from helpers.paths import ROOT
from helpers.pipeline import environment, small_params

TIMINGS = re.compile(
    r"timings\.(md|csv|json)|^results/timings/|/seconds\.csv$"
)  # of the files, those that differ from run to run
SPENT = re.compile(rb'"(train_seconds|peak_memory_bytes)": ?[0-9.e+-]+|(?<=\n) "sha256": "[0-9a-f]+"')


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml has it. What is not kept, DVC removes before it runs the stage."""

    name: str
    flags: tuple[str, ...]
    outs: tuple[str, ...]
    kept: bool = True

    @property
    def command(self) -> list[str]:
        return [f"stages/{self.name}.py", *self.flags]

    @property
    def address(self) -> str:
        """As `dvc` says it."""
        return "@".join(filter(None, (self.name, "-".join(self.flags[1::2]))))

    @property
    def journal(self) -> str:
        """What a train stage goes on from, which DVC knows nothing of."""
        return self.outs[0].replace("results/train/", "results/journal/")

    def __str__(self) -> str:
        return self.address


def _prepare(suite: str) -> Stage:
    return Stage("prepare", ("--suite", suite), (f"data/prepared/{suite}", f"data/test/{suite}"), kept=False)


def _train(method: str) -> Stage:
    flags = ("--method", method, "--backbone", "tiny_bert")
    outs = (f"results/train/tiny_bert/{method}", f"results/timings/tiny_bert/{method}.csv")
    return Stage("train", flags, outs, kept=False)


ON_BACKBONE = ("--backbone", "tiny_bert")
BACKBONE = Stage("backbone", ON_BACKBONE, ("models/tiny_bert", "results/pretraining/tiny_bert"))
UNTRAINED = Stage(
    "untrained", ON_BACKBONE, ("results/train/tiny_bert/untrained", "results/timings/tiny_bert/untrained"), kept=False
)
TRAIN = _train("p_tuning")
EVALUATE = Stage("evaluate", ON_BACKBONE, ("results/evaluate/tiny_bert",), kept=False)
AGGREGATE = Stage("aggregate", (), ("reports",))
PUBLISH = Stage("publish", (), ("mlflow.db",))
STAGES = (
    _prepare("lama"), _prepare("superglue"), BACKBONE, UNTRAINED, _train("fine_tuning"), TRAIN,
    EVALUATE, AGGREGATE, PUBLISH,
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a stage ended."""

    status: int  # minus the signal's number where one ended it
    seconds: float
    left: bool  # whether a worker outlived it
    writes: int
    output: str

    @property
    def in_one_line(self) -> bool:
        """Whether it told a user what happened, and nothing else."""
        return len(self.output.splitlines()) == 1 and "Traceback" not in self.output


@dataclass
class Zygote:
    """The process that runs stages; see zygote.py."""

    outputs: Path
    process: "subprocess.Popen[str]" = field(init=False)
    orders: int = 0

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            env=environment() | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, stage: Stage, **fault: Any) -> Ended:
        """A stage with a fault: `kill_at_write`, `signal` and `after` so many seconds, or `limits`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.orders += 1
        output = self.outputs / f"{self.orders}.txt"
        order = {"folder": str(folder), "command": stage.command, "output": str(output), **fault}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return Ended(**json.loads(self.process.stdout.readline()), output=output.read_text())

    def finish(self, folder: Path, stages: Iterable[Stage] = STAGES, **fault: Any) -> dict[str, Ended]:
        """Run stages as `dvc repro` would, each of which has to end well, whatever fault it meets."""
        ended = {}
        for stage in stages:
            if not stage.kept:
                remove_outs(folder, stage)
            ended[str(stage)] = self.run(folder, stage, **fault)
            assert ended[str(stage)].status == 0, ended[str(stage)].output
            assert not ended[str(stage)].output
        return ended

    def close(self) -> None:
        self.process.communicate()


def torture_params(workers: int = 1) -> dict[str, Any]:
    """As small as can be, yet two batches of trials in every study, several studies a fleet and two fleets a batch."""
    params = small_params()
    params["suites"]["lama"]["tasks"] = ["P19"]
    params["suites"]["superglue"] |= {"train_limit": 40, "test_limit": 10}
    params["world"]["subjects"] = 24
    params["backbones"]["tiny_bert"]["pretraining"]["steps"] = 4
    params["budgets"]["smoke"] |= {"trials": 3, "steps": 4, "eval_every": 2}
    params["tuning"]["batch"] = 2
    params["device"]["workers"] = workers
    return params


def new_copy(folder: Path) -> Path:
    """What a clone holds, with the params of the torture."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    (folder / "src").symlink_to(ROOT / "src")
    (folder / "data" / "raw").mkdir(parents=True)
    shutil.copy(ROOT / "data" / "raw" / "README.md", folder / "data" / "raw")
    set_params(folder, torture_params())
    return folder


def set_params(folder: Path, params: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def before(stage: Stage, finished: Path, folder: Path) -> Path:
    """A copy of a finished working copy in which one stage, and those after it, are still to be run."""
    shutil.copytree(finished, folder, symlinks=True, ignore=shutil.ignore_patterns(".locks"))
    for later in STAGES[STAGES.index(stage) :]:
        remove_outs(folder, later)
        shutil.rmtree(folder / later.journal, ignore_errors=True)
    return folder


def remove_outs(folder: Path, stage: Stage) -> None:
    for out in (folder / name for name in stage.outs):
        if out.is_dir():
            shutil.rmtree(out)
        else:
            out.unlink(missing_ok=True)


def bytes_of(folder: Path, stages: Iterable[Stage] = STAGES) -> dict[str, bytes]:
    """All files of the stages' outs and what lies hidden beside them, without seconds and memory."""
    found = {}
    for top in sorted({folder / out.split("/")[0] for stage in stages for out in stage.outs if out != "mlflow.db"}):
        for path in (path for path in top.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if not TIMINGS.search(name):
                found[name] = SPENT.sub(b"", path.read_bytes())
    return found


def outs_of(folder: Path, stage: Stage) -> dict[str, bytes]:
    """The same of one stage."""
    every = bytes_of(folder, [stage])
    return {name: content for name, content in every.items() if name.startswith(stage.outs)}


def published(folder: Path) -> list[tuple[str, str]]:
    """Experiment and name of every run in mlflow.db that is not in the trash; none is there in part."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return sorted(
            store.execute(
                "select experiments.name, runs.name from runs join experiments using (experiment_id)"
                " where runs.lifecycle_stage = 'active'"
            ).fetchall()
        )


def differing(these: dict[str, bytes], those: dict[str, bytes]) -> list[str]:
    """Names of files that are not the same in both."""
    return sorted(name for name in these.keys() | those.keys() if these.get(name) != those.get(name))


def fleets(folder: Path) -> dict[Path, int]:
    """When each finished fleet was written."""
    return {path: path.stat().st_mtime_ns for path in (folder / "results" / "journal").rglob("fleets/*.json")}


@dataclass(frozen=True)
class Undisturbed:
    """A finished working copy, and how its stages ended by their names."""

    folder: Path
    ended: dict[str, Ended]


def goes_on(zygote: Zygote, copy: Path, stage: Stage, undisturbed: Undisturbed, **fault: Any) -> None:
    """Run the stage again: the same outs, and no fleet that was finished is trained again."""
    trained = fleets(copy)
    zygote.finish(copy, [stage], **fault)
    if stage is PUBLISH:
        assert published(copy) == published(undisturbed.folder)
    assert differing(outs_of(copy, stage), outs_of(undisturbed.folder, stage)) == []
    assert {path: fleets(copy)[path] for path in trained} == trained
