"""Suites from the network, laid out as a `local` folder is: `official` files, or datasets of the `hub`."""

import json
from pathlib import Path

from softprompt.data.sources.hub_datasets import fill_lama_from_hub, fill_tasks_from_hub
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.official import fill_lama, fill_tasks
from softprompt.data.sources.storage import storage_errors
from softprompt.files import replaced_folder
from softprompt.tasks.data_section import DataSection
from softprompt.tasks.load import LAMA, load_data_section, nlu_names

ORIGINS = "origins.json"  # address -> SHA-256 or revision of what was fetched


def fetch_suite(
    suite: str, source: str, tasks: tuple[str, ...] | str, downloads: Path, *, redrawn: bool = False
) -> Path:
    """The folder <downloads>/<source>-<suite> with the raw files of the tasks, complete or as it was before.

    `redrawn`: FewGLUE's, with SuperGLUE's files beside them, which other examples are drawn from.
    Archives stay in <downloads>/files and are used again; the SHA-256 of an address that publishes none is recorded in
    <downloads>.lock.json.
    """
    root, lock = downloads / f"{source}-{suite}", Lock(downloads.with_name(f"{downloads.name}.lock.json"))
    with storage_errors(downloads), replaced_folder(root) as folder:
        if suite == LAMA:
            origins = _fetch_lama(source, tasks, downloads, lock, folder)
        elif source == "hub":
            origins = fill_tasks_from_hub(_sections(suite, tasks), downloads, folder)
        else:
            origins = fill_tasks(_sections(suite, tasks), downloads, lock, folder)
        if redrawn:
            origins |= fill_tasks(_sections("superglue", tasks), downloads, lock, folder)
        (folder / ORIGINS).write_text(json.dumps(origins, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return root


def origins_of(root: Path) -> dict[str, str]:
    """What the folder of a fetched suite came from; empty for other folders."""
    path = root / ORIGINS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _sections(suite: str, tasks: tuple[str, ...] | str) -> list[DataSection]:
    """The wanted tasks; a name that the suite does not know is refused later, among those that could be prepared."""
    known = nlu_names(suite)
    return [load_data_section(suite, name) for name in known if isinstance(tasks, str) or name in tasks]


def _fetch_lama(source: str, tasks: tuple[str, ...] | str, downloads: Path, lock: Lock, folder: Path) -> dict[str, str]:
    """The test facts from the source, the facts to train on and further templates always as they are published."""
    relations = None if isinstance(tasks, str) else set(tasks)
    if source == "hub":
        facts = fill_lama_from_hub(downloads, lock, folder)
    else:
        facts = fill_lama("lama", relations, downloads, lock, folder)
    return facts | fill_lama("lama_training", relations, downloads, lock, folder)
