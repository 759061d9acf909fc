"""`prepare`: a suite from its source to typed tables and manifests, all of it or nothing."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.config import SuiteSettings, WorldSettings
from softprompt.data.discrete import add_discrete_prompts
from softprompt.data.embedded import write_world
from softprompt.data.embedded.example_set import write_extra
from softprompt.data.facts_text import leave_out_untold_order, write_facts_text
from softprompt.data.lama_suite import missing_facts, prepare_lama_task, relations_of
from softprompt.data.manifest import VOCABULARY, describe_raw, write_learnable, write_manifest, write_test
from softprompt.data.nlu_tasks import missing_parts, prepare_nlu_task, read_nlu_task
from softprompt.data.passages import read_prose
from softprompt.data.prepared_task import PreparedTask, chosen_tasks, refuse_shared_ids
from softprompt.data.probes import PROBES
from softprompt.data.sources import fetch_suite, origins_of
from softprompt.data.suite_layouts import GENERATED, LAYOUTS
from softprompt.data.validation import one_of
from softprompt.data.vocabulary import read_vocabulary
from softprompt.errors import UserError
from softprompt.files import replaced_folders, sha256_of_file
from softprompt.paths import Paths
from softprompt.tasks.load import LAMA, load_data_section

SUITES = (LAMA, *LAYOUTS)
RECORDED_SETTINGS = {"dev_share", "train_limit", "vocabulary", "split_seed"}
PRETRAINING_TEXT = {
    "lama": ("text/facts.jsonl", "text/answers.json"),
    "superglue": ("text/documents.jsonl",),
    "extra": ("extra/text/documents.jsonl",),
}
DOWNLOADS = Path("data/downloads")

log = logging.getLogger(__name__)


def prepare_suite(
    suite: str, settings: SuiteSettings, world: WorldSettings, paths: Paths, downloads: Path = DOWNLOADS
) -> None:
    """Read, check and write one suite: what may be learnt from as one folder, the test splits as another.

    After an error both are as they were before. What the sources `hub` and `official` fetch is saved below
    `downloads`, and used again.
    """
    one_of([suite], SUITES, what="suite")
    outs = paths.suite(suite), paths.test_suite(suite)
    with replaced_folders(*outs) as (folder, test), _source(suite, settings, world, downloads, folder) as root:
        if suite == "lama":
            tasks, left_out = _lama(root, settings)
        else:
            tasks, left_out = _nlu(root, suite, settings)
        if settings.text is not None:
            write_facts_text(folder / "text", tasks, settings.text, read_prose(root))
            leave_out_untold_order(tasks, settings.text)
        learnable, held_back = {}, {}
        for task in tasks:
            if settings.source == "embedded":
                task.licence = GENERATED
            refuse_shared_ids(task)
            learnable[task.name] = write_learnable(task, folder / task.name, root)
            held_back[task.name] = write_test(task, test / task.name, root)
            log.info("%s/%s: %s", suite, task.name, {split: len(table) for split, table in task.tables.items()})
        common = {"suite": suite, "source": settings.source}
        files = _further_files(suite, root, folder, settings)
        manifest = {**common, "settings": _recorded(settings), "tasks": learnable, "files": files}
        if settings.source in ("hub", "official"):
            manifest["origins"] = origins_of(root)
        write_manifest(folder, manifest)
        limit = {"test_limit": settings.test_limit}
        write_manifest(test, {**common, "settings": limit, "tasks": held_back, "left_out": left_out, "files": {}})


@contextmanager
def _source(suite: str, settings: SuiteSettings, world: WorldSettings, downloads: Path, folder: Path) -> Iterator[Path]:
    """The root of the raw files: the user's folder, what was fetched, or the generated world while it is needed.

    It is below `folder`, so that what a killed run leaves goes where the next one clears that away.
    """
    if settings.source in ("hub", "official"):
        redrawn = settings.split_seed is not None
        yield fetch_suite(suite, settings.source, settings.tasks, downloads, redrawn=redrawn)
        return
    if settings.source == "local":
        root = Path(settings.path)
        if not settings.path or not (root / suite).is_dir():
            raise UserError(
                f"suites.{suite}.path is {settings.path!r}; expected a folder that holds {suite}/; "
                f"set it to where the official files are"
            )
        yield root
        return
    with tempfile.TemporaryDirectory(dir=folder) as name:
        (write_extra if suite == "extra" else write_world)(world, Path(name))
        yield Path(name)


def _lama(root: Path, settings: SuiteSettings) -> tuple[list[PreparedTask], dict[str, Any]]:
    relations = relations_of(root)
    missing = missing_facts(root, relations)
    if settings.source == "embedded" or settings.text is not None:  # such backbones were told of relations only
        missing = {name: lack for name, lack in missing.items() if name not in PROBES}
    names = chosen_tasks("lama", settings, missing)
    left_out = {name: {"reason": lack} for name, lack in missing.items() if lack}
    tasks = [prepare_lama_task(root, name, relations, settings) for name in names]
    add_discrete_prompts(root, tasks)
    return tasks, left_out


def _recorded(settings: SuiteSettings) -> dict[str, Any]:
    text = {"text": settings.text.model_dump()} if settings.text else {}
    return settings.model_dump(include=RECORDED_SETTINGS) | text


def _nlu(root: Path, suite: str, settings: SuiteSettings) -> tuple[list[PreparedTask], dict[str, Any]]:
    missing = missing_parts(root, suite, redrawn=settings.split_seed is not None)
    names = chosen_tasks(suite, settings, missing)
    left_out: dict[str, Any] = {name: {"reason": lack} for name, lack in missing.items() if lack}
    for name in left_out if settings.tasks == "all" else ():  # what is there of an incomplete task is checked too
        checked = read_nlu_task(root, load_data_section(suite, name))
        left_out[name] |= {"raw": describe_raw(list(checked.values()), root)} if checked else {}
    return [prepare_nlu_task(root, suite, name, settings) for name in names], left_out


def _further_files(suite: str, root: Path, folder: Path, settings: SuiteSettings) -> dict[str, str]:
    """Copy what belongs to the suite as a whole: pretraining text and the restricted vocabulary."""
    for name in PRETRAINING_TEXT.get(suite, ()):
        if (root / name).exists():
            (folder / "text").mkdir(exist_ok=True)
            shutil.copyfile(root / name, folder / "text" / Path(name).name)
    vocabulary = read_vocabulary(root, settings.vocabulary) if suite == "lama" else None
    if vocabulary is not None:
        text = json.dumps(vocabulary, ensure_ascii=False, indent=0) + "\n"
        (folder / VOCABULARY).write_text(text, encoding="utf-8")
    paths = sorted([*folder.glob("text/*"), *folder.glob(VOCABULARY)])
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in paths}
