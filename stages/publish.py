"""publish: results and trials to the MLflow store mlflow.db. Doing it again adds nothing."""

import argparse
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def publish(params: "Params", arguments: argparse.Namespace) -> None:  # noqa: ARG001 - stages share a signature
    from softprompt.reporting.context import report_context
    from softprompt.tracking import publish as publish_results

    publish_results(Paths(), report_context(params), git_commit=git_commit())


def git_commit() -> str | None:
    """The commit checked out here, or None outside of a git repository and where there is no git."""
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(run_stage(publish))
