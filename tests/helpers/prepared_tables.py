"""Prepared tables of either side, for tests that look at both."""

import pandas as pd

from softprompt.data.prepared import load_split, splits
from softprompt.data.prepared_task import TEST_SPLITS
from softprompt.paths import Paths


def prepared_table(paths: Paths, suite: str, task: str, split: str) -> pd.DataFrame:
    """A split of a task, from the folder that it belongs to."""
    return load_split(paths.test_suite(suite) if split in TEST_SPLITS else paths.suite(suite), task, split)


def prepared_splits(paths: Paths, suite: str, task: str) -> list[str]:
    """All splits of a task, those that may be learnt from first."""
    return [*splits(paths.suite(suite), task), *splits(paths.test_suite(suite), task)]
