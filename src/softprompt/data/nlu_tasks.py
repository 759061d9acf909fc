"""The labelled tasks of SuperGLUE, FewGLUE, GLUE and the example set: raw files -> tables."""

from pathlib import Path

from softprompt.config import SuiteSettings
from softprompt.data.examples import read_examples
from softprompt.data.few_shot import draw_few_shot
from softprompt.data.prepared_task import PreparedTask, sides
from softprompt.data.rows import RawSplit
from softprompt.data.splits import carve_dev, sample, unit_of
from softprompt.data.suite_layouts import UNLABELLED, layout_of, raw_files
from softprompt.errors import UserError
from softprompt.tasks.data_section import DataSection
from softprompt.tasks.load import load_data_section, nlu_names


def missing_parts(root: Path, suite: str, *, redrawn: bool = False) -> dict[str, str]:
    """What each task of a suite lacks, in words; "" for a complete one."""
    missing = {}
    for task in nlu_names(suite):
        data = load_data_section(suite, task)
        files = raw_files(root, data, redrawn=redrawn)
        needed = layout_of(suite, redrawn=redrawn).needed(suite)
        lacking = [file for split, file in needed.items() if split not in files]
        reason = f"{suite}/{data.folder} has no {', no '.join(lacking)}" if lacking else ""
        missing[task] = reason if (root / suite / data.folder).is_dir() else f"there is no folder {suite}/{data.folder}"
    return missing


def read_nlu_task(root: Path, data: DataSection, *, redrawn: bool = False) -> dict[str, RawSplit]:
    """All raw files of a task, checked row by row. `redrawn`: FewGLUE's train and dev come from SuperGLUE."""
    files = raw_files(root, data, redrawn=redrawn)
    return {split: read_examples(data, path, labelled=split not in UNLABELLED) for split, path in files.items()}


def prepare_nlu_task(root: Path, suite: str, task: str, settings: SuiteSettings) -> PreparedTask:
    """The tables of a complete task."""
    data, seed = load_data_section(suite, task), settings.split_seed
    raw = read_nlu_task(root, data, redrawn=seed is not None)
    tables = {split: content.frame() for split, content in raw.items()}
    if seed is not None:
        tables |= draw_few_shot(tables["train"], data, seed)
    elif "dev" not in tables:
        tables["train"], tables["dev"] = carve_dev(
            tables["train"], settings.dev_share, f"{suite}/{task}", by_label=data.stratify
        )
        if tables["train"].empty or tables["dev"].empty:
            raise UserError(f"suites.{suite}.dev_share = {settings.dev_share} leaves no train or no dev rows of {task}")
    for split, limit in (("train", settings.train_limit), ("test", settings.test_limit)):
        unit = unit_of(tables[split]["id"], data)
        tables[split] = sample(tables[split], limit, f"{suite}/{task}", f"{split} limit", unit)
    licence = data.licence or layout_of(suite).licence
    return PreparedTask(task, licence, *sides(raw), tables, note=_stand_ins(suite, raw))


def _stand_ins(suite: str, raw: dict[str, RawSplit]) -> str:
    """Which files stand in for official ones that are not there, in words; "" if none does."""
    read = {
        split: (raw[split].path.name, official)
        for split, official in layout_of(suite).needed(suite).items()
        if split in raw
    }
    return "; ".join(
        f"{split} is {name}, not {official}" for split, (name, official) in read.items() if name != official
    )
