"""`softprompt verify`: whether a report is what its provenance says, byte for byte, and follows from its results."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softprompt.errors import UserError, reason_of
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.context import ReportContext
from softprompt.reporting.rendering.digests import PROVENANCE, TIMINGS, digest_of, digest_of_input, read_provenance

KINDS = (".md", ".csv", ".svg", ".json")
OTHERS = ("bench.json", "gpu.json")  # measured by other commands
PARTS_OF_NOW = ("code", "sha256")  # of provenance: what made a report need not be what checks it


def verify(paths: Paths, context: ReportContext) -> str:
    """What was checked, in a line or two. Raises UserError that names every file which is not as recorded.

    Files of the report always are; its inputs, and the report made anew from them, where `results` is.
    """
    recorded = read_provenance(paths.reports)
    problems = list(changed_files(paths.reports, recorded))
    inputs = recorded["inputs"] if paths.results.is_dir() else {}
    if inputs:
        problems += changed_inputs(paths.root, inputs)
    if problems:
        raise UserError("the report is not what it says it is:\n" + "\n".join(problems))
    said = f"{len(recorded['report'])} files of {paths.reports} are as recorded"
    if not inputs:
        return f"{said}; results are not here, so nothing else was checked"
    if recorded["profile"] != context.profile:
        return f"{said}, as are its inputs; params.yaml is another profile ({context.profile}), so it was not made anew"
    different = list(remade_differently(paths, context, recorded))
    if different:
        raise UserError("made anew from results and data, the report differs:\n" + "\n".join(different))
    return f"{said}, as are its {len(inputs)} inputs; made anew from them it has the same bytes"


def changed_files(reports: Path, recorded: dict[str, Any]) -> Iterator[str]:
    """A line for every file of a report that was changed, is missing, or was not made with it."""
    try:
        timings = dict(json.loads((reports / TIMINGS).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        yield f"{reports / TIMINGS}: not readable ({reason_of(error)})"
        timings = {}
    digests = recorded["report"] | timings
    for name, digest in digests.items():
        if not (reports / name).is_file():
            yield f"{reports / name}: missing"
        elif digest_of((reports / name).read_bytes()) != digest:
            yield f"{reports / name}: changed since the report was made"
    known = {*digests, PROVENANCE, TIMINGS, *OTHERS}
    for path in sorted(reports.rglob("*")):
        if path.suffix in KINDS and path.relative_to(reports).as_posix() not in known:
            yield f"{path}: not a part of the report"


def changed_inputs(root: Path, digests: dict[str, str]) -> Iterator[str]:
    """A line for every file that the report was made of and that is no longer that file."""
    for name, digest in digests.items():
        if not (root / name).is_file():
            yield f"{root / name}: missing"
        elif digest_of_input(root / name) != digest:
            yield f"{root / name}: changed since the report was made"


def remade_differently(paths: Paths, context: ReportContext, recorded: dict[str, Any]) -> Iterator[str]:
    """A line for every file that a report made anew, in a folder of its own, has otherwise."""
    with tempfile.TemporaryDirectory(prefix="softprompt-verify-") as folder:
        aggregate(paths, context, Path(folder))
        made = {path.relative_to(folder).as_posix(): path for path in sorted(Path(folder).rglob("*")) if path.is_file()}
        for name in sorted({*made, *recorded["report"]} - {PROVENANCE}):
            old, new = paths.reports / name, made.get(name)
            if new is None or not old.is_file() or old.read_bytes() != new.read_bytes():
                yield f"{old}: otherwise"
        anew = json.loads(made[PROVENANCE].read_text(encoding="utf-8"))
        for part in sorted((anew.keys() | recorded.keys()) - set(PARTS_OF_NOW)):
            if anew.get(part) != recorded.get(part):
                yield f"{paths.reports / PROVENANCE}: {part} otherwise"
