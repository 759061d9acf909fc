"""`make check-gpu`: everything that can be told of this machine's GPU in under ten minutes, into reports/gpu.json.

It needs PyTorch with CUDA, transformers, peft and accelerate (for the bench), and beside what these bring: pandas,
pyarrow, pydantic, PyYAML, safetensors, jaxtyping.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from softprompt.backbones.memory import memory_bytes
from softprompt.files import write_atomically
from softprompt.quiet import keep_quiet

if TYPE_CHECKING:  # transformers must find the quiet settings when it is imported
    from softprompt.check_gpu.comparisons import Finding
    from softprompt.check_gpu.peaks import Peak

LIMIT_SECONDS = 570.0
METHODS_SECONDS = 330.0  # of them, for all methods on all types
BENCH_SECONDS = 60.0  # the least that the bench is left with
TYPES = ("bert", "gpt2", "t5")


def main() -> None:
    """Exits with 1 where there is no GPU, and where something was found wanting."""
    keep_quiet()
    if not torch.cuda.is_available():
        sys.exit("make check-gpu: PyTorch finds no CUDA device on this machine; nothing was checked")
    report = check(torch.device("cuda"), time.monotonic() + LIMIT_SECONDS)
    write_atomically(Path("reports/gpu.json"), json.dumps(report, indent=1) + "\n")
    failed = [name for name, part in report["checks"].items() if not part["passed"]]
    sys.exit(f"reports/gpu.json: {', '.join(failed)} failed" if failed else 0)


def check(device: torch.device, until: float, methods: list[str] | None = None) -> dict[str, Any]:
    """The whole report; `methods` are all where none are named."""
    from softprompt.check_gpu.comparisons import findings
    from softprompt.check_gpu.peaks import peaks
    from softprompt.check_gpu.small_world import write_small_world
    from softprompt.methods import METHODS

    sections = yaml.safe_load(Path("profiles/base.yaml").read_text())["methods"]
    chosen, started = methods or sorted(METHODS), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = write_small_world(Path(folder))
        late = min(until, started + METHODS_SECONDS)
        checks = {
            "methods": _timed(lambda: list(findings(chosen, TYPES, sections, world, device, late))),
            "memory": _timed(lambda: list(peaks(TYPES, sections, world, device))),
        }
    checks["bench"] = bench(until)
    return {**_machine(device), "seconds": round(time.monotonic() - started), "checks": checks}


def bench(until: float) -> dict[str, Any]:
    """What `make bench` says, in a folder of its own: the numbers of another machine stay as they are."""
    started, source = time.monotonic(), str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("docs", Path(folder) / "docs")
        shutil.copy("README.md", folder)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "softprompt.benchmark"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": source},
                capture_output=True,
                text=True,
                timeout=max(BENCH_SECONDS, until - started),
                check=False,
            )
            said = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        except subprocess.TimeoutExpired:
            said = ["it took too long"]
        written = Path(folder) / "reports" / "bench.json"
        found = json.loads(written.read_text()) if written.is_file() and not said else {"error": "".join(said)}
    return {"passed": not said, "seconds": round(time.monotonic() - started), "found": found}


def _timed(part: Callable[[], Sequence["Finding | Peak"]]) -> dict[str, Any]:
    """All that a part found, what failed first."""
    started, found = time.monotonic(), sorted(part(), key=lambda one: one.passed)
    return {
        "passed": all(one.passed for one in found),
        "seconds": round(time.monotonic() - started),
        "found": [{"passed": one.passed, **asdict(one)} for one in found],
    }


def _machine(device: torch.device) -> dict[str, Any]:
    """Where it was found."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "memory_bytes": memory_bytes(device),
        "cuda": torch.version.cuda if on_gpu else None,
        "versions": {package: version(package) for package in ("torch", "transformers", "peft")},
    }


if __name__ == "__main__":
    main()
