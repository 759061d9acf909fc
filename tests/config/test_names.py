"""What may be called how, and what becomes of names that a shell or a path would take for something else."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from helpers.pipeline import environment
from helpers.profiles import fixture_content
from softprompt.config.names import is_name
from softprompt.config.profiles import profile_names, profile_text
from softprompt.errors import UserError
from softprompt.experiments.checks import load_checked_params
from softprompt.methods import METHODS
from softprompt.tasks.load import nlu_names

HOSTILE = (
    "x; touch y", "$(touch y)", "`touch y`", "../esc", "/etc", "-x", "", ".", "..", "a b", "a\nb", "a\tb", "it's",
    'a"b', "a|b", "a.b", "a/b", "é", "😀", "<b>", "a*", "{a}", "${a}", "x" * 65,
)  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_would_need_quoting_are_refused_before_any_work(name: str, tmp_path: Path) -> None:
    for place in ("profile", "budget", "backbone", "method", "suite", "task"):
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(with_name(place, name)))
        with pytest.raises(UserError) as refusal:
            load_checked_params(path)
        assert "cannot be a name" in str(refusal.value), place
        assert all(line.isprintable() for line in str(refusal.value).split("\n"))


def with_name(place: str, name: str) -> dict[str, Any]:
    content = fixture_content()
    run = content["run"]
    if place == "profile":
        content["profile"] = name
    elif place == "budget":
        content["budgets"][name], content["budget"] = content["budgets"]["small"], name
    elif place == "backbone":
        content["backbones"][name] = content["backbones"].pop(run["backbones"][0])
        run["backbones"][0] = name
    elif place == "method":
        content["methods"][name], run["trained"] = content["methods"]["p_tuning"], [name]
    elif place == "suite":
        content["suites"][name], run["suites"] = content["suites"]["lama"], [name]
    else:
        content["suites"]["lama"]["tasks"] = [name]
    return content


def test_all_names_of_the_project_fit() -> None:
    contents = [yaml.safe_load(profile_text(name, ROOT / "profiles")) for name in profile_names(ROOT / "profiles")]
    sections = [content[key] for content in contents for key in ("budgets", "backbones", "methods", "suites")]
    tasks = [name for suite in ("superglue", "fewglue", "glue", "extra") for name in nlu_names(suite)]
    names = [*METHODS, *tasks, *profile_names(ROOT / "profiles"), *(name for section in sections for name in section)]
    assert [name for name in names if not is_name(name)] == []


def test_dvc_gives_the_shell_each_name_as_one_word(tmp_path: Path) -> None:
    """The project's own dvc.yaml with hostile names: DVC shows the commands that it would run."""
    names = [name for name in HOSTILE if name.strip(".") and "\n" not in name and "/" not in name]
    methods = ["p_tuning", "a'b; touch y"]
    run = {"suites": ["lama"], "backbones": names, "untrained": [], "trained": methods}
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    commands = {name: {key: stage[key] for key in ("matrix", "cmd") if key in stage} for name, stage in stages.items()}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": commands}, sort_keys=False))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"run": run}))

    def dvc(*arguments: str) -> str:
        command = ["dvc", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True, text=True)
        return done.stdout + done.stderr

    dvc("init", "--quiet", "--no-scm")
    said = [line.removeprefix("> ") for line in dvc("repro", "--dry").split("\n") if line.startswith("> ")]
    words = [shlex.split(line)[2:] for line in said]
    assert [word for word in words if word[:1] == ["--method"]] == [
        ["--method", method, "--backbone", name] for method in methods for name in names
    ]
    for stage in ("backbone", "untrained", "evaluate"):
        asked = [word for line, word in zip(said, words, strict=True) if f"/{stage}.py" in line]
        assert asked == [["--backbone", name] for name in names]


def test_relations_are_names(tmp_path: Path) -> None:
    from softprompt.data.lama import read_relations

    path = tmp_path / "relations.jsonl"
    path.write_text('{"relation": "../esc", "template": "[X] is in [Y] .", "type": "N-1"}\n')
    with pytest.raises(UserError, match=r"relations\.jsonl:1: field `relation` is '\.\./esc'; expected at most 64"):
        read_relations(path)


def test_definitions_are_named_by_their_files(tmp_path: Path) -> None:
    from softprompt.tasks.load import DEFINITIONS, definition_path

    (tmp_path / "r|te.yaml").write_text((DEFINITIONS / "rte.yaml").read_text())
    with pytest.raises(UserError, match=r"r\|te\.yaml: 'r\|te' cannot name a task; .* rename the file"):
        definition_path(tmp_path, "superglue", "rte")
