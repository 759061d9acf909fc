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
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.endings import exit_status
from softprompt.errors import UserError
from softprompt.files import write_atomically
from softprompt.quiet import keep_quiet

if TYPE_CHECKING:  # takes time, in which nobody would see to signals
    import torch

    from softprompt.check_gpu.comparisons import Finding
    from softprompt.check_gpu.peaks import Peak

LIMIT_SECONDS = 570.0
METHODS_SECONDS = 330.0  # of them, for all methods on all types
BENCH_SECONDS = 60.0  # the least that the bench is left with
TYPES = ("bert", "gpt2", "t5")


def main() -> int:
    """The exit status: 1 where there is no GPU, and where something was found wanting."""
    keep_quiet()
    return exit_status(check_this_machine)


def check_this_machine() -> None:
    """Write reports/gpu.json."""
    import torch

    from softprompt.config import Device
    from softprompt.device import choose_device

    device = choose_device(Device(), threads=torch.get_num_threads())  # computes as a run's would
    if device.type != "cuda":
        raise UserError("PyTorch finds no CUDA device on this machine; nothing was checked")
    report = check(device, time.monotonic() + LIMIT_SECONDS)
    write_atomically(Path("reports/gpu.json"), json.dumps(report, indent=1) + "\n")
    failed = [name for name, part in report["checks"].items() if not part["passed"]]
    if failed:
        raise UserError(f"reports/gpu.json: {', '.join(failed)} failed")


def check(device: "torch.device", until: float) -> dict[str, Any]:
    """The whole report."""
    import yaml

    from softprompt.check_gpu.comparisons import findings
    from softprompt.check_gpu.peaks import peaks
    from softprompt.check_gpu.small_world import write_small_world
    from softprompt.methods import METHODS

    sections = yaml.safe_load(Path("profiles/base.yaml").read_text())["methods"]
    names, started = sorted(METHODS), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = write_small_world(Path(folder))
        late = min(until, started + METHODS_SECONDS)
        checks = {
            "methods": timed(findings(names, TYPES, sections, world, device, late)),
            "memory": timed(peaks(TYPES, sections, world, device)),
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


def timed(part: Iterator["Finding | Peak"]) -> dict[str, Any]:
    """All that a part finds, what failed first; where it breaks off, why and what it had found."""
    started, found, error = time.monotonic(), [], ""
    try:
        for one in part:
            found.append({"passed": one.passed, **asdict(one)})
    except Exception as broken:  # one part's failure leaves the others to be told
        error = f"{type(broken).__name__}: {broken}"
    return {
        "passed": not error and all(one["passed"] for one in found),
        "seconds": round(time.monotonic() - started),
        "error": error,
        "found": sorted(found, key=lambda one: bool(one["passed"])),
    }


def _machine(device: "torch.device") -> dict[str, Any]:
    """Where it was found."""
    import torch

    from softprompt.backbones.memory import memory_bytes

    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "memory_bytes": memory_bytes(device),
        "cuda": torch.version.cuda if on_gpu else None,
        "versions": {package: version(package) for package in ("torch", "transformers", "peft")},
    }


if __name__ == "__main__":
    sys.exit(main())
