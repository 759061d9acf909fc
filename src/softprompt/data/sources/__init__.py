"""Suites from the network, laid out as a `local` folder is: `official` archives, or datasets of the `hub`."""

import json
from pathlib import Path

from softprompt.data import glue, superglue
from softprompt.data.sources.hub import fill_from_hub
from softprompt.data.sources.hub_rows import SUPERGLUE
from softprompt.data.sources.lock import Lock
from softprompt.data.sources.mrpc import PUBLISHED, split_mrpc
from softprompt.data.sources.official import fill_from_official
from softprompt.data.sources.storage import storage_errors
from softprompt.files import replaced_folder

ORIGINS = "origins.json"  # address -> SHA-256 or revision of what was fetched


def fetch_suite(
    suite: str, source: str, tasks: tuple[str, ...] | str, downloads: Path, *, redrawn: bool = False
) -> Path:
    """The folder <downloads>/<source>-<suite> with the raw files of the tasks, complete or as it was before.

    `redrawn`: FewGLUE's, with SuperGLUE's files beside them, which other examples are drawn from.
    Archives are kept in <downloads>/files and used again; what was found at an address without a known SHA-256 is
    recorded in <downloads>.lock.json.
    """
    root, lock = downloads / f"{source}-{suite}", Lock(downloads.with_name(f"{downloads.name}.lock.json"))
    about = _folders(suite, source, tasks)
    with storage_errors(downloads), replaced_folder(root) as folder:
        if source == "hub":
            origins = fill_from_hub(suite, about, downloads, lock, folder)
        else:
            origins = fill_from_official(suite, None if suite == "lama" else about, downloads, lock, folder)
        if redrawn:
            origins |= fill_from_official("superglue", about, downloads, lock, folder)
        if suite == "lama":
            relations = None if isinstance(tasks, str) else set(tasks)
            origins |= fill_from_official("lama_training", relations, downloads, lock, folder)
        if (folder / "glue" / "MRPC" / PUBLISHED).is_file():
            split_mrpc(folder / "glue" / "MRPC")
        (folder / ORIGINS).write_text(json.dumps(origins, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return root


def origins_of(root: Path) -> dict[str, str]:
    """What the folder of a fetched suite came from; empty for other folders."""
    path = root / ORIGINS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _folders(suite: str, source: str, tasks: tuple[str, ...] | str) -> set[str]:
    """The official folder names of the wanted tasks."""
    if suite == "lama":
        return set()
    known = glue.FOLDERS if suite == "glue" else superglue.FOLDERS
    wanted = known if isinstance(tasks, str) else tasks
    names = {known[name] for name in wanted if name in known}
    return names & SUPERGLUE.keys() if (suite, source) == ("superglue", "hub") else names
