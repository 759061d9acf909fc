"""The official files of SuperGLUE's and other suites' tasks, read as the tasks' definitions say."""

from pathlib import Path

from softprompt.data.examples import read_examples
from softprompt.data.rows import RawSplit
from softprompt.tasks.load import load_data_section, nlu_names

FOLDERS = {name: load_data_section("superglue", name).folder for name in nlu_names("superglue")}


def examples_of(task: str, path: Path, *, labelled: bool, suite: str = "superglue") -> RawSplit:
    """All examples of a file, checked."""
    return read_examples(load_data_section(suite, task), path, labelled=labelled)
