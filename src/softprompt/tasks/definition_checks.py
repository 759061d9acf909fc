"""What a task's definition may not say, refused by file and, of a template, by its id."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from softprompt.config import Kind
from softprompt.errors import UserError
from softprompt.tasks.metrics import METRICS
from softprompt.tasks.task import CANDIDATE, Role, Task, Template

SLOTS = ("mask", "prompt", "sep")  # beside the fields of the task


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
    for problem in filter(None, (check(task) for check in LABEL_CHECKS)):
        raise UserError(f"{path}: {problem}")


def _verbalizer_problem(task: Task) -> str:
    words = list(task.verbalizer.values())
    worded = task.labels if task.answer_form == "label" else ()
    if set(task.verbalizer) != set(worded):
        return f"`verbalizer` has {sorted(task.verbalizer)}; expected a word for each of {sorted(worded)}"
    if len(set(words)) < len(words) or any(len(word.split()) != 1 for word in words):
        return f"`verbalizer` has the words {words}; expected different single words"
    return ""


def _candidates_problem(task: Task) -> str:
    count, expected = {
        "label": (0, "none where answer_form is label"),
        "tagging": (0, "none where answer_form is tagging"),
        "candidates": (
            len(task.labels) or 1,
            "a field for each label, or without labels the one that lists them",
        ),
        "generation": (1, "the one field that is to be generated"),
    }[task.answer_form]
    fits = len(task.candidates) == count and set(task.candidates) <= set(task.fields)
    return "" if fits else f"`candidates` is {list(task.candidates)}; expected {expected}"


def _metrics_problem(task: Task) -> str:
    if not task.metrics or not set(task.metrics) <= set(METRICS):
        return f"`metrics` is {list(task.metrics)}; expected some of {', '.join(METRICS)}"
    if not set(task.score) <= set(task.metrics):
        return f"`score` is {list(task.score)}; expected some of `metrics`: {', '.join(task.metrics)}"
    return ""


def _head_problem(task: Task) -> str:
    valid = {*task.fields, *([CANDIDATE] if task.answer_form == "candidates" else [])}
    head = list(task.head_fields)
    if len(head) not in (1, 2) or not set(head) <= valid:
        return f"`head_fields` is {head}; expected one or two of {', '.join(sorted(valid))}"
    if task.answer_form == "tagging" and len(head) != 1:
        return f"`head_fields` is {head}; expected the one field that holds the words"
    return ""


def _templates_problem(task: Task) -> str:
    lacks = task.answer_form != "tagging" and not (task.manual and task.p_tuning)
    return "`manual`, `p_tuning`: expected at least one template each" if lacks else ""


LABEL_CHECKS: tuple[Callable[[Task], str], ...] = (
    _verbalizer_problem,
    _candidates_problem,
    _metrics_problem,
    _head_problem,
    _templates_problem,
)


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
