"""The results that `softprompt diff` puts side by side: those of a revision, or of a working copy, this one or another.

A report is committed at every revision; the predictions that it was made of are DVC's, in its cache or a remote. Only
those whose digest stands in the report's provenance are taken for them.
"""

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from softprompt.config.parsing import parse_yaml
from softprompt.errors import UserError
from softprompt.reporting.analysis.collect import EXAMPLE, PREDICTIONS
from softprompt.reporting.rendering.digests import PROVENANCE

REPORT = "reports"
THIS = "the working copy"
Reader = Callable[[str], bytes | None]  # name below the project's root -> content, None where there is none


@dataclass(frozen=True)
class Side:
    """One of two results. `commit` is what is checked out there, "" outside of git; `read` has what is committed,
    `made` what the pipeline made."""

    name: str
    commit: str
    read: Reader
    made: Reader

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What its report says that it was made of."""
        content = json.loads(self._of_report(PROVENANCE))
        return dict(content)

    @cached_property
    def settings(self) -> Any:
        """Its params.yaml, as it stands there."""
        return parse_yaml((self.read("params.yaml") or b"").decode(), f"params.yaml of {self.name}")

    def table(self, name: str, texts: list[str], numbers: list[str]) -> pd.DataFrame:
        """These columns of a CSV file of its report. Raises UserError where they are not there."""
        frame = pd.read_csv(BytesIO(self._of_report(name)), dtype=str, keep_default_na=False)
        missing = sorted({*texts, *numbers} - set(frame.columns))
        if missing:
            raise UserError(
                f"{REPORT}/{name} of {self.name} has no column {', '.join(missing)}, as another version made it; "
                "make that report anew with `dvc repro`"
            )
        return frame[texts + numbers].assign(**{number: pd.to_numeric(frame[number]) for number in numbers})

    def predictions(self, backbone: str) -> pd.DataFrame | None:
        """Those that the report was made of; None where they are not at hand."""
        name = f"results/evaluate/{backbone}/{PREDICTIONS}"
        content = self.made(name)
        if content is None or hashlib.sha256(content).hexdigest() != self.provenance["inputs"].get(name):
            return None
        frame = pd.read_parquet(BytesIO(content))
        return frame[EXAMPLE] if set(EXAMPLE) <= set(frame.columns) else None

    def _of_report(self, name: str) -> bytes:
        content = self.read(f"{REPORT}/{name}")
        if content is None:
            raise UserError(f"{self.name} has no {REPORT}/{name}; make its report with `dvc repro` and commit it")
        return content


def open_side(name: str) -> Side:
    """A revision as git or DVC names it (a branch, a commit, an experiment), or the folder of another working copy.

    Raises UserError where it is neither.
    """
    if name and (Path(name) / REPORT / PROVENANCE).is_file():
        return working_copy(Path(name), name)
    commit = commit_of(name)
    return Side(name, commit, lambda file: _of_git(commit, file), lambda file: _of_dvc(commit, file))


def working_copy(root: Path, name: str = THIS) -> Side:
    """What lies on disk, committed or not."""

    def read(file: str) -> bytes | None:
        return (root / file).read_bytes() if (root / file).is_file() else None

    return Side(name, git("rev-parse", "--verify", "--quiet", "HEAD", root=root) or "", read, read)


def commit_of(name: str) -> str:
    """The full hash of a revision. Raises UserError where there is none of that name."""
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}") or _experiment(name)
    if not found:
        raise UserError(
            f"{name!r} is no revision of this repository, nor a working copy with a report; `git log --oneline` and "
            "`dvc exp list` show what there is"
        )
    return found


def _experiment(name: str) -> str | None:
    """The commit that DVC keeps an experiment as."""
    listed = git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    named = [line.split()[0] for line in listed.splitlines() if line.rpartition("/")[2] == name]
    return named[0] if named else None


def git(*arguments: str, root: Path = Path()) -> str | None:
    """What git prints, None where it fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, encoding="utf-8", check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _of_git(commit: str, name: str) -> bytes | None:
    content = git("show", f"{commit}:./{name}")
    return None if content is None else content.encode()


def _of_dvc(commit: str, name: str) -> bytes | None:
    """From DVC's cache, or else from its remote."""
    from dvc.api import DVCFileSystem  # takes a second
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        return bytes(DVCFileSystem(rev=commit).read_bytes(name))
    except (DataIndexDirError, DvcException, OSError):
        return None
