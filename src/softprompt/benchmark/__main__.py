"""Measure on the GPU where there is one, else on all cores; write reports/bench.json, docs/speed.md, README's rows."""

import logging
from pathlib import Path

import torch

from softprompt.benchmark.measure import measure
from softprompt.benchmark.page import write_pages
from softprompt.paths import Paths
from softprompt.quiet import keep_quiet


def main() -> None:
    keep_quiet()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("softprompt.benchmark").setLevel(logging.INFO)
    bench = measure(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    bench.write(Paths().reports / "bench.json")
    write_pages(bench, Path())


if __name__ == "__main__":
    main()
