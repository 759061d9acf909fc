"""Measure on the GPU where there is one, else on all cores; write reports/bench.json, docs/speed.md, README's rows."""

import logging
import sys
from pathlib import Path

from softprompt.endings import exit_status
from softprompt.paths import Paths
from softprompt.quiet import keep_quiet


def main() -> int:
    """The exit status."""
    keep_quiet()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("softprompt.benchmark").setLevel(logging.INFO)
    return exit_status(_bench)


def _bench() -> None:
    import torch  # takes time, in which nobody would see to signals

    from softprompt.benchmark.measure import measure
    from softprompt.benchmark.page import write_pages

    bench = measure(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    bench.write(Paths().reports / "bench.json")
    write_pages(bench, Path())


if __name__ == "__main__":
    sys.exit(main())
