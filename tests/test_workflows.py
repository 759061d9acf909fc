"""What GitHub runs: nothing that can change beneath it, no right that it does not need, every command there."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from softprompt.__main__ import main

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(.*)$", re.MULTILINE)

pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def steps_of(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def commands_of(path: Path) -> str:
    return "\n".join(step["run"] for step in steps_of(path) if "run" in step)


def test_every_action_is_pinned_by_a_commit_and_says_its_version(path: Path) -> None:
    used = USES.findall(path.read_text())
    assert [name for name, _ in used] == [step["uses"] for step in steps_of(path) if "uses" in step]
    for name, comment in used:
        assert PINNED.fullmatch(name), name
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), name


def test_it_may_read_and_nothing_else(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {"contents": "read"}
    assert not [name for name, job in content["jobs"].items() if "permissions" in job]
    assert "pull_request_target" not in content[True]  # YAML's word for `on`
    checkouts = [step for step in steps_of(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_text_of_a_pull_request_reaches_a_shell(path: Path) -> None:
    assert "${{" not in commands_of(path)


def test_every_command_is_there(path: Path) -> None:
    commands = commands_of(path)
    for target in re.findall(r"^\s*make (\S+)", commands, re.MULTILINE):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in re.findall(r"\.venv/bin/softprompt (\w+)", commands):
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
    for script in re.findall(r"^\s*(\.\S+/\S+)", commands, re.MULTILINE):
        assert script.startswith(".venv/bin/") or (ROOT / script).stat().st_mode & 0o111
    for profile in re.findall(r"PROFILE=(\w+)", commands):
        assert (ROOT / "profiles" / f"{profile}.yaml").is_file()


def test_its_scripts_are_bash(path: Path) -> None:
    for step in steps_of(path):
        done = subprocess.run(["bash", "-n"], input=step.get("run", ""), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_cache_between_runs_is_dvcs(path: Path) -> None:
    (cache,) = (step["with"] for step in steps_of(path) if step.get("uses", "").startswith("actions/cache@"))
    assert cache["path"] == ".dvc/cache"
    assert cache["key"].startswith(cache["restore-keys"])
