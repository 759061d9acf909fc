"""What all stages share: quiet surroundings, parsed params, one process a stage, and errors a user can read."""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softprompt.endings import STARTED_BY_DVC, end_with_parent, exit_status
from softprompt.quiet import keep_quiet
from softprompt.source_code import PACKAGE

if TYPE_CHECKING:  # takes time, in which nobody would see to signals
    from softprompt.config import Params

PARAMS = Path("params.yaml")
LOCKS = Path(".locks")
BETWEEN_COLLECTIONS = 100_000  # new objects: a stage imports a million, none of them garbage, and starts 0.4 s earlier


def run_stage(
    work: Callable[["Params", argparse.Namespace], None], flags: Sequence[str] = (), *, offline: bool = True
) -> int:
    """Parse `flags` (each with one name as value) and params.yaml, do the work, and return the exit status.

    Unless `offline` is false, the Hugging Face hub is switched off for the stage.
    """
    _take_own_package()
    gc.set_threshold(BETWEEN_COLLECTIONS)
    if STARTED_BY_DVC in os.environ:
        end_with_parent()
    keep_quiet(offline=offline)
    return exit_status(lambda: _alone(work, flags))


def _take_own_package() -> None:
    """Start again where there is a package beside the stages, but another one was imported: DVC runs experiments in
    copies of a working copy, and what is installed is the original."""
    own = Path("src", PACKAGE.name)
    ahead = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    here = str(own.parent.resolve())
    if own.is_dir() and not own.samefile(PACKAGE) and here not in ahead:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, *ahead)))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _alone(work: Callable[["Params", argparse.Namespace], None], flags: Sequence[str]) -> None:
    """The work of a stage, in the only process of it."""
    parser = argparse.ArgumentParser()
    for flag in flags:
        parser.add_argument(flag, required=True)
    arguments = parser.parse_args()
    from softprompt.experiments.checks import load_checked_params  # imports transformers: the surroundings are quiet
    from softprompt.locks import only_process

    params = load_checked_params(PARAMS)
    with only_process(stage_name(arguments), LOCKS):
        work(params, arguments)


def stage_name(arguments: argparse.Namespace) -> str:
    """As `dvc` says it: train@p_tuning-tiny_bert."""
    return "@".join(filter(None, (Path(sys.argv[0]).stem, "-".join(vars(arguments).values()))))
