"""`make check-gpu` where there is no GPU: its comparisons on the CPU, what it makes of a mistake, what it needs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from helpers.paths import ROOT
from softprompt.check_gpu.__main__ import timed
from softprompt.check_gpu.comparisons import CLOSE, TOO_LATE, Finding, findings
from softprompt.check_gpu.peaks import Peak, reckoned_bytes, widened
from softprompt.check_gpu.small_world import TASKS, exercises, untrained_backbone, write_small_world
from softprompt.config import Architecture
from softprompt.prompts import fleet_lstm
from softprompt.prompts.prefix import FleetPrefixes

pytestmark = pytest.mark.xdist_group("device")

CPU = torch.device("cpu")
SECTIONS = yaml.safe_load((ROOT / "profiles" / "base.yaml").read_text())["methods"]
NEEDED = ("torch", "transformers", "peft", "pandas", "pyarrow", "pydantic", "PyYAML", "safetensors", "jaxtyping")

ALONE = """
import importlib.metadata as metadata, json, sys, time
from pathlib import Path
from packaging.requirements import Requirement

def brought(name, found):
    if name not in found:
        found.add(name)
        for line in metadata.requires(name) or ():
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                try:
                    metadata.distribution(one.name)
                except metadata.PackageNotFoundError:
                    continue
                brought(one.name.lower().replace("_", "-"), found)
    return found

there = set().union(*(brought(name.lower(), set()) for name in json.loads(sys.argv[1])))
for module, owners in metadata.packages_distributions().items():
    if module != "softprompt" and not {one.lower().replace("_", "-") for one in owners} & there:
        sys.modules[module] = None
import torch, yaml
import softprompt.check_gpu.__main__
from softprompt.check_gpu.comparisons import findings
from softprompt.check_gpu.peaks import peaks
sections = yaml.safe_load(Path("profiles/base.yaml").read_text())["methods"]
named = ["autoprompt", "p_tuning"]
found = findings(named, ["bert"], sections, Path(sys.argv[2]), torch.device("cpu"), time.monotonic() + 600)
sys.stdout.write(json.dumps([one.error for one in found]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_world(tmp_path_factory.mktemp("check"))


def found(world: Path, *names: str, seconds: float = 600.0) -> list[Finding]:
    return list(findings(names, ["bert"], SECTIONS, world, CPU, time.monotonic() + seconds))


def test_a_device_that_computes_as_the_cpu_passes(world: Path) -> None:
    there = found(world, "fine_tuning", "manual", "prompt_tuning")
    assert all(one.passed for one in there), there
    first = {one.method: one for one in there if one.form == "lama"}
    assert first["prompt_tuning"].apart_from_cpu == 0.0
    assert first["prompt_tuning"].same_twice
    assert first["prompt_tuning"].waits_a_step == 0.0  # nobody waits for a CPU
    assert first["manual"].apart_from_alone is None
    assert {one.form for one in there if one.method == "fine_tuning"} == set(TASKS)


def test_a_leak_between_members_fails(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt's padding, which reaches the backward direction of the LSTM."""
    too_long = lambda numbers, _: [one + 9 for one in numbers]  # noqa: E731
    monkeypatch.setattr(fleet_lstm, "uploaded", too_long)
    first, *_ = found(world, "p_tuning")
    assert first.apart_from_alone > CLOSE
    assert not first.passed


def test_what_raises_is_told_and_all_else_is_tried(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("no kernel for this device\nand more")

    monkeypatch.setattr(FleetPrefixes, "prefixes", refuses)
    there = found(world, "p_tuning_v2", "manual")
    assert {(one.method, one.passed, one.error) for one in there} == {
        ("p_tuning_v2", False, "RuntimeError: no kernel for this device"),
        ("manual", True, ""),
    }


def test_what_is_not_reached_in_time_has_not_passed(world: Path) -> None:
    assert [(one.error, one.passed) for one in found(world, "p_tuning", seconds=-1)] == [(TOO_LATE, False)]


def test_more_members_are_reckoned_with_more_memory(world: Path) -> None:
    tiny = Architecture(type="bert", hidden_size=16, heads=2, layers=2)
    backbone = untrained_backbone(tiny, world, CPU)
    _, fleet = next(exercises("prompt_tuning", SECTIONS, backbone, world))
    wide = widened(fleet, 9)
    assert len({job.identity for job in wide.jobs}) == len(wide.train(1)) == 9
    few, many = (reckoned_bytes(one, backbone) for one in (fleet, wide))
    weights = 4 * backbone.model.num_parameters()
    assert (many - weights) * len(fleet.jobs) == pytest.approx((few - weights) * 9)
    assert Peak("bert", "prompt_tuning", 9, many, round(1.05 * many)).passed
    assert not Peak("bert", "prompt_tuning", 9, many, 2 * many).passed


def test_a_part_that_breaks_off_has_not_passed_and_tells_what_it_found() -> None:
    good, bad = (Peak("bert", "p_tuning", 4, 100, peak) for peak in (90, 900))

    def part() -> Iterator[Peak]:
        yield good
        yield bad
        raise RuntimeError("no room")

    whole, broken = timed(iter([good])), timed(part())
    assert (whole["passed"], whole["error"]) == (True, "")
    assert (broken["passed"], broken["error"]) == (False, "RuntimeError: no room")
    assert [one["peak_bytes"] for one in broken["found"]] == [900, 90]  # what failed first


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_in_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "softprompt.check_gpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: PyTorch finds no CUDA device on this machine; nothing was checked\n"


def test_it_needs_few_packages(world: Path) -> None:
    """Whatever else is installed is hidden from it."""
    command = [sys.executable, "-c", ALONE, json.dumps(NEEDED), str(world)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == {""}
