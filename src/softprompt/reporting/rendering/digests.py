"""provenance.json: which data, results and code a report was made of, and what its files are, as digests.

Costs differ from run to run and are left out of every digest here; timings.json has those of the pages that show them.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.source_code import PACKAGE, digest_of_files

PROVENANCE, TIMINGS = "provenance.json", "timings.json"
OWN_DIGEST = "sha256"  # of all the rest of provenance.json
CODE = ("src", "stages", "profiles", "params.yaml")
COSTS = ("cost", "search_cost", "sha256")  # of cells and trials, and the seal of a file that holds them
Files = Mapping[str, str | bytes]  # name below reports/ -> content


def with_digests(files: Files, profile: str, inputs: Iterable[Path], root: Path) -> dict[str, str | bytes]:
    """The files of a report with the two that say what they are."""
    costs = {name for name in files if name.startswith("timings.")}
    content = {
        "profile": profile,
        "code": {"digest": digest_of_files(PACKAGE.rglob("*.py")), "commit": commit_of_code(root)},
        "inputs": {path.relative_to(root).as_posix(): digest_of_input(path) for path in inputs},
        "report": {name: digest_of(files[name]) for name in sorted(files.keys() - costs)},
    }
    timings = {name: digest_of(files[name]) for name in sorted(costs)}
    return {**files, PROVENANCE: sealed(content), TIMINGS: json.dumps(timings, indent=1) + "\n"}


def sealed(content: Mapping[str, Any]) -> str:
    """provenance.json: the content and a digest of it, so that no byte of it can change alone."""
    bare = {key: value for key, value in content.items() if key != OWN_DIGEST}
    return json.dumps(bare | {OWN_DIGEST: digest_of(json.dumps(bare, sort_keys=True))}, indent=1, sort_keys=True) + "\n"


def read_provenance(reports: Path) -> dict[str, Any]:
    """provenance.json. Raises UserError where it is missing or was changed."""
    path = reports / PROVENANCE
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `dvc repro aggregate` first")
    text = path.read_bytes()
    try:
        content: dict[str, Any] = json.loads(text)
        whole = sealed(content).encode() == text
    except (ValueError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise UserError(f"{path}: changed since it was written; run `dvc repro aggregate`")
    return content


def digest_of(content: str | bytes) -> str:
    """Hex sha256 of a file's content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_of_input(path: Path) -> str:
    """Hex sha256 of a file's bytes; of a JSON result, unless it is damaged, of its content without costs."""
    if path.name != "result.json":
        return sha256_of_file(path)
    try:
        content = _without_costs(json.loads(path.read_bytes()))
    except (ValueError, RecursionError):
        return sha256_of_file(path)
    return digest_of(json.dumps(content, sort_keys=True))


def _without_costs(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_costs(value) for key, value in content.items() if key not in COSTS}
    return [_without_costs(value) for value in content] if isinstance(content, list) else content


def commit_of_code(root: Path) -> str:
    """The last commit that touched code or settings, which later commits of reports leave as it is. Empty where there
    is none that says what was run: outside of git, in a shallow clone, or with changes that are not committed."""
    if shutil.which("git") is None:
        return ""

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    whole = git("rev-parse", "--is-shallow-repository") == "false" and git("status", "--porcelain", "--", *CODE) == ""
    return (git("log", "-1", "--format=%H", "--", *CODE) or "") if whole else ""
