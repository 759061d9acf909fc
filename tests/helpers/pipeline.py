"""Settings and surroundings for tests that run stages in processes of their own, by `dvc repro` or by hand."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from helpers.profiles import fixture_content, listed


def small_params() -> dict[str, Any]:
    """The fixture profile, as small as it can be and still go through every stage."""
    params: dict[str, Any] = fixture_content()
    params["run"] = {
        "suites": ["lama", "superglue"],
        "backbones": ["tiny_bert"],
        **listed(["majority", "manual", "manual_best", "fine_tuning", "p_tuning"]),
    }
    params["suites"]["lama"]["tasks"] = ["P19", "P36"]
    params["suites"]["superglue"] |= {"tasks": ["rte"], "train_limit": 60, "test_limit": 40}
    params["world"] = {"subjects": 40}
    params["backbones"]["tiny_bert"]["pretraining"]["steps"] = 30
    params["budget"] = "smoke"
    params["seeds"] = [0, 1]
    params["device"] |= {"workers": 1, "fleet_members": 2}
    return params


def dvc(folder: Path, *arguments: str) -> str:
    """What a command of DVC printed, which has to end well."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    """What a command of git printed, which has to end well."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def repro(folder: Path) -> set[str]:
    """The stages that `dvc repro` ran. A killed run's lock counts as busy until its process is reaped, so it is asked
    again."""
    for _ in range(20):
        command = [sys.executable, "-m", "dvc", "repro"]
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False
        )
        if "Unable to acquire lock" not in done.stderr:
            assert done.returncode == 0, done.stdout + done.stderr
            return {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
        time.sleep(1)
    raise AssertionError("the lock of the killed run was never released")


def copy_of(project: Path, folder: Path) -> Path:
    """A reproduced project without DVC's cache of runs, which would hand out results instead of running stages."""
    copy = folder / "copy"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("runs", "tmp"))
    return copy


def environment() -> dict[str, str]:
    """The tests' own Python first, quiet, and never looking for a network."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "CI": "true", "DVC_NO_ANALYTICS": "1", "HF_HUB_OFFLINE": "1"}
