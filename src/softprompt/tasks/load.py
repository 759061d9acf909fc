"""YAML definition -> Task, refused with file and template id where a template could not be asked."""

import json
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from softprompt.config import Kind
from softprompt.errors import UserError
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import CANDIDATE, Role, Task, Template

DEFINITIONS = Path(__file__).parent / "definitions"
LAMA = "lama"
OFFICIAL_RELATIONS = 41  # of T-REx
LAMA_SENTENCE = "lama_sentence"  # of the probes whose rows bring their own sentence
SLOTS = ("mask", "prompt", "sep")  # beside the fields of the task
OWN_FOLDER = ("glue", "extra")  # suites whose definitions are in a folder of their name


def nlu_names(suite: str = "superglue") -> list[str]:
    """The tasks of a suite, which SuperGLUE and FewGLUE share; GLUE and the example set have folders of their own."""
    files = definition_path(DEFINITIONS, suite, "*").parent.glob("*.yaml")
    return sorted(path.stem for path in files if path.stem not in (LAMA, LAMA_SENTENCE))


def definition_path(definitions: Path, suite: str, name: str) -> Path:
    """The file of a task's definition below the folder of all definitions."""
    return (definitions / suite if suite in OWN_FOLDER else definitions) / f"{name}.yaml"


def load_task(suite: str, name: str, prepared: Path) -> Task:
    """The task of a suite. `prepared` is the folder of all suites: a relation's manual templates come from
    <prepared>/lama/<name>/templates.json, its discrete ones from prompts.json there."""
    if suite == LAMA:
        manual = relation_templates(prepared / LAMA / name / "templates.json")
        asked_about = LAMA if "{subject}" in manual[0]["text"] else LAMA_SENTENCE
        task = read_definition(DEFINITIONS / f"{asked_about}.yaml", suite, name, manual)
        return task.model_copy(update={"discrete": discrete_prompts(prepared / LAMA / name / "prompts.json")})
    known = nlu_names(suite)
    if name not in known:
        raise UserError(f"suite {suite} has no task {name!r} with templates; valid ones: {', '.join(known)}")
    return read_definition(definition_path(DEFINITIONS, suite, name), suite, name)


def read_definition(path: Path, suite: str, name: str, manual: list[dict[str, Any]] | None = None) -> Task:
    """A checked Task from one YAML file; `manual`, where given, stands in for the file's own manual templates."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        given = {} if manual is None else {"manual": manual}
        task = Task.model_validate({**content, **given, "suite": suite, "name": name})
    except (OSError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a task definition ({error}); expected a YAML mapping") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        advice = "quote Yes, No, true and false"
        raise UserError(f"{path}: `{where}` is {first['input']!r}: {first['msg']}; {advice}") from None
    check_task(task, path)
    return task


def relation_templates(path: Path) -> list[dict[str, Any]]:
    """The manual templates of a LAMA relation. One that has its subject after the blank cannot suit causal models."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected the templates of a prepared relation; run prepare@lama first")
    templates = json.loads(path.read_text(encoding="utf-8"))["templates"]
    return [{**template, "kinds": kinds_of(template["text"])} for template in templates]


def discrete_prompts(path: Path) -> tuple[Template, ...]:
    """The prompts of words that a relation has beside its manual templates; none where the file is not there."""
    if not path.is_file():
        return ()
    prompts = json.loads(path.read_text(encoding="utf-8"))["prompts"]
    return tuple(Template.model_validate({**prompt, "kinds": kinds_of(prompt["text"])}) for prompt in prompts)


def kinds_of(text: str) -> list[Kind]:
    """The kinds of backbone that a template suits: a causal one reads nothing that follows {mask}."""
    kinds: list[Kind] = list(get_args(Kind))
    return [kind for kind in kinds if kind != "causal" or "{" not in text.partition("{mask}")[2]]


def check_task(task: Task, path: Path) -> None:
    """Raises a UserError that names the file, and the template if it is one, where a definition contradicts itself."""
    _check_labels(task, path)
    roles: dict[Role, tuple[Template, ...]] = {
        "manual": task.manual,
        "p_tuning": task.p_tuning,
        "plain": (task.plain,),
    }
    for role, templates in roles.items():
        ids = [template.id for template in templates]
        for template in templates:
            problem = _problem(template, role, task.fields)
            if ids.count(template.id) > 1:
                problem = "another template has this id; give it its own"
            if problem:
                raise UserError(f"{path}: {role} template {template.id!r} ({template.text!r}): {problem}")
    _check_patterns(task, path)


def _check_patterns(task: Task, path: Path) -> None:
    taken = [template.id for template in (*task.manual, *task.patterns)]
    for pattern in task.patterns:
        words, problem = list(pattern.verbalizer.values()), _problem(pattern, "manual", task.fields)
        if taken.count(pattern.id) > 1:
            problem = "another pattern or manual template has this id; give it its own"
        elif set(pattern.verbalizer) != set(task.verbalizer):
            problem = (
                f"`verbalizer` has {sorted(pattern.verbalizer)}; expected a word for each of {sorted(task.verbalizer)}"
            )
        elif len(set(words)) < len(words) or any(len(word.split()) != 1 for word in words):
            problem = f"`verbalizer` has the words {words}; expected different single words"
        if problem:
            raise UserError(f"{path}: pattern {pattern.id!r} ({pattern.text!r}): {problem}")


def _check_labels(task: Task, path: Path) -> None:
    words = list(task.verbalizer.values())
    worded = task.labels if task.answer_form == "label" else ()
    head_fields = {*task.fields, *([CANDIDATE] if task.answer_form == "candidates" else [])}
    problems = {
        f"`verbalizer` has {sorted(task.verbalizer)}; expected a word for each of {sorted(worded)}": (
            set(task.verbalizer) != set(worded)
        ),
        f"`candidates` is {list(task.candidates)}; expected {_expected_candidates(task)}": not _candidates_fit(task),
        f"`verbalizer` has the words {words}; expected different single words": (
            len(set(words)) < len(words) or any(len(word.split()) != 1 for word in words)
        ),
        f"`metrics` is {list(task.metrics)}; expected some of {', '.join(METRICS)}": (
            not task.metrics or not set(task.metrics) <= set(METRICS)
        ),
        f"`score` is {list(task.score)}; expected some of `metrics`: {', '.join(task.metrics)}": (
            not set(task.score) <= set(task.metrics)
        ),
        f"`head_fields` is {list(task.head_fields)}; expected one or two of {', '.join(sorted(head_fields))}": (
            len(task.head_fields) not in (1, 2) or not set(task.head_fields) <= head_fields
        ),
        "`manual`, `p_tuning`: expected at least one template each": (
            task.answer_form != "tagging" and not (task.manual and task.p_tuning)
        ),
        f"`head_fields` is {list(task.head_fields)}; expected the one field that holds the words": (
            task.answer_form == "tagging" and len(task.head_fields) != 1
        ),
    }
    for problem, applies in problems.items():
        if applies:
            raise UserError(f"{path}: {problem}")


def _candidates_fit(task: Task) -> bool:
    wanted = {"label": 0, "candidates": len(task.labels) or 1, "generation": 1, "tagging": 0}[task.answer_form]
    return len(task.candidates) == wanted and set(task.candidates) <= set(task.fields)


def _expected_candidates(task: Task) -> str:
    return {
        "label": "none where answer_form is label",
        "tagging": "none where answer_form is tagging",
        "candidates": "a field for each label, or without labels the one field that lists them",
        "generation": "the one field that is to be generated",
    }[task.answer_form]


def _problem(template: Template, role: Role, fields: tuple[str, ...]) -> str:
    """What is wrong with a template, in words; "" if nothing."""
    slots = template.slots()
    valid = [*fields, *SLOTS]
    unknown = sorted(set(slots) - set(valid))
    if unknown:
        return f"unknown slot {{{unknown[0]}}}; valid ones: {', '.join(valid)}"
    if template.text.count("{") != len(slots) or template.text.count("}") != len(slots):
        return "a brace that belongs to no {slot}; remove it"
    if slots.count("mask") != 1:
        return f"{slots.count('mask')} slots {{mask}}; expected exactly one"
    if not set(slots) & set(fields):
        return f"no field; expected at least one of {', '.join(fields)}"
    if role == "p_tuning" and "prompt" not in slots:
        return "no {prompt}; expected at least one block of trainable vectors"
    if role != "p_tuning" and "prompt" in slots:
        return "a {prompt}; expected none outside p_tuning"
    if not template.kinds:
        return "no kinds; expected at least one of masked, causal, seq2seq"
    if "causal" in template.kinds and "causal" not in kinds_of(template.text):
        return "a slot after {mask}, which a causal backbone never reads; set kinds: [masked, seq2seq]"
    return ""
