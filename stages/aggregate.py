"""aggregate: statistics, tables, plots and pages from all results to reports/."""

import argparse
import sys
from typing import TYPE_CHECKING

from softprompt.paths import Paths
from softprompt.stage import run_stage

if TYPE_CHECKING:
    from softprompt.config import Params


def aggregate(params: "Params", arguments: argparse.Namespace) -> None:  # noqa: ARG001 - stages share a signature
    from softprompt.reporting.aggregate import aggregate as write_reports
    from softprompt.reporting.context import report_context

    write_reports(Paths(), report_context(params))


if __name__ == "__main__":
    sys.exit(run_stage(aggregate))
