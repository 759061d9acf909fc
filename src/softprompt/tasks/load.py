"""YAML definition -> Task, or its section `data`. What cannot be is refused by file and key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from softprompt.config import Frozen
from softprompt.config.names import EXPECTED, is_name
from softprompt.config.parsing import key_of, parse_yaml
from softprompt.errors import UserError, reason_of, shown
from softprompt.tasks.data_section import DataSection
from softprompt.tasks.definition_checks import check_task, kinds_of
from softprompt.tasks.task import Task, Template
from softprompt.user_files import read_user_text

Model = TypeVar("Model", bound=Frozen)
DEFINITIONS = Path(__file__).parent / "definitions"
LAMA = "lama"
OFFICIAL_RELATIONS = 41  # of T-REx
LAMA_SENTENCE = "lama_sentence"  # of the probes whose rows bring their own sentence
DATA = "data"  # the section that says which suites a task belongs to; LAMA's definitions have none


def nlu_names(suite: str = "superglue") -> list[str]:
    """The tasks whose definitions say that they belong to a suite, sorted."""
    return sorted(name for one, name in _definition_files(DEFINITIONS) if one == suite)


def definition_path(definitions: Path, suite: str, name: str) -> Path:
    """The file of a task's definition somewhere below the folder of all definitions.

    Raises UserError with the valid names where the suite has no such task.
    """
    files = _definition_files(definitions)
    if (suite, name) not in files:
        valid = ", ".join(sorted(known for one, known in files if one == suite))
        raise UserError(f"suite {suite} has no task {shown(name)} with templates; valid ones: {valid}")
    return files[suite, name]


@cache
def _definition_files(definitions: Path) -> dict[tuple[str, str], Path]:
    """(suite, task) -> file. A task is named by its file; subfolders only keep apart files of the same name."""
    files: dict[tuple[str, str], Path] = {}
    for path in sorted(definitions.rglob("*.yaml")):
        for suite in _content(path).get(DATA, {}).get("suites", {}):
            if not is_name(path.stem):
                raise UserError(f"{path}: {shown(path.stem)} cannot name a task; expected {EXPECTED}; rename the file")
            other = files.setdefault((suite, path.stem), path)
            if other != path:
                raise UserError(f"{path}: suite {suite} has a task {path.stem!r} already, in {other}; rename the file")
    return files


def _content(path: Path) -> dict[str, Any]:
    """The mapping in a definition's file, its section `data` a mapping too where there is one."""
    content = parse_yaml(read_user_text(path, "a task definition"), str(path))
    data = content.get(DATA, {}) if isinstance(content, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("suites", {}), dict):
        raise UserError(f"{path}: not a task definition; expected a YAML mapping, as are `data` and `data.suites`")
    return dict(content)


def load_task(suite: str, name: str, prepared: Path) -> Task:
    """The task of a suite. `prepared` is the folder of all suites: a relation's manual templates come from
    <prepared>/lama/<name>/templates.json, its discrete ones from prompts.json there."""
    if suite == LAMA:
        manual = relation_templates(prepared / LAMA / name / "templates.json")
        definition = LAMA if "{subject}" in manual[0]["text"] else LAMA_SENTENCE
        task = read_definition(DEFINITIONS / f"{definition}.yaml", suite, name, manual)
        return task.model_copy(update={"discrete": discrete_prompts(prepared / LAMA / name / "prompts.json")})
    return read_definition(definition_path(DEFINITIONS, suite, name), suite, name)


def load_data_section(suite: str, name: str) -> DataSection:
    """Where the rows of a task of a suite come from.

    Raises UserError where the section contradicts itself or the rest of the definition.
    """
    return _data_section(DEFINITIONS, suite, name)


@cache
def _data_section(definitions: Path, suite: str, name: str) -> DataSection:
    path = definition_path(definitions, suite, name)
    task, section = read_definition(path, suite, name), _content(path)[DATA]
    shared = {"suite": suite, "name": name, "fields": task.fields, "labels": task.labels}
    for key in shared.keys() & section.keys():
        raise UserError(f"{path}: `{DATA}.{key}` belongs to the definition itself; remove it from `{DATA}`")
    data = _validated(DataSection, {**section, **shared}, path, f"{DATA}.")
    for problem in data.problems():
        raise UserError(f"{path}: {problem}")
    return data


def read_definition(path: Path, suite: str, name: str, manual: list[dict[str, Any]] | None = None) -> Task:
    """A checked Task from one YAML file; `manual`, where given, stands in for the file's own manual templates."""
    content = {key: value for key, value in _content(path).items() if key != DATA}
    given = {} if manual is None else {"manual": manual}
    task = _validated(Task, {**content, **given, "suite": suite, "name": name}, path)
    check_task(task, path)
    return task


def _validated(model: type[Model], content: dict[str, Any], path: Path, place: str = "") -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = place + key_of(first, content)
        advice = "quote Yes, No, true and false"
        raise UserError(f"{path}: `{where}` is {shown(first['input'])}: {first['msg']}; {advice}") from None


def relation_templates(path: Path) -> list[dict[str, Any]]:
    """The manual templates of a LAMA relation. One that has its subject after the blank cannot suit causal models."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the templates of a prepared relation; run prepare@lama first")
    with _damage_named(path):
        templates = json.loads(path.read_bytes())["templates"]
        return [{**template, "kinds": kinds_of(template["text"])} for template in templates]


def discrete_prompts(path: Path) -> tuple[Template, ...]:
    """The prompts of words that a relation has beside its manual templates; none where the file is not there."""
    if not path.is_file():
        return ()
    with _damage_named(path):
        prompts = json.loads(path.read_bytes())["prompts"]
        return tuple(Template.model_validate({**prompt, "kinds": kinds_of(prompt["text"])}) for prompt in prompts)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turns what goes wrong with a file that `prepare` wrote into a UserError."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({reason_of(error)}); run `dvc repro prepare@{LAMA}` again") from None
