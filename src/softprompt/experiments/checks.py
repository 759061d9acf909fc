"""Settings that are impossible together, which no single section of params.yaml can know. Checked before any work."""

import re
from pathlib import Path

from softprompt.backbones.architectures import ARCHITECTURES
from softprompt.config import BackboneSettings, Params
from softprompt.config.parsing import load_params
from softprompt.errors import UserError
from softprompt.methods import build_method
from softprompt.methods.base import Method, TrainedMethod
from softprompt.methods.shared.tasks_together import TasksTogether
from softprompt.tasks.load import DEFINITIONS, definition_path, nlu_names, read_definition

RELATION = re.compile(r"P\d+")  # LAMA's, as Wikidata numbers properties


def load_checked_params(path: Path) -> Params:
    """The parsed file with every method's section parsed too. Raises UserError with one line a fault."""
    return checked(load_params(path), str(path))


def checked(params: Params, place: str) -> Params:
    """The same params, whose sections fit together. `place` begins each line of the UserError."""
    methods = _built(params, place)
    faults = [
        fault
        for name in params.run.methods
        for backbone in params.run.backbones
        for fault in _faults(name, methods[name], backbone, params)
    ]
    faults += _misplaced(params, methods) + _unknown_weights(methods, params)
    faults += _unknown_architectures(params)
    faults += _unknown_tasks(params) or _tasks_without_template(params)
    if faults:
        raise UserError("\n".join(f"{place}: {fault}" for fault in faults))
    return params


def _built(params: Params, place: str) -> dict[str, Method]:
    try:
        return {name: build_method(name, section) for name, section in params.methods.items()}
    except UserError as error:
        raise UserError("\n".join(f"{place}: {fault}" for fault in str(error).splitlines())) from None


def _misplaced(params: Params, methods: dict[str, Method]) -> list[str]:
    trains = {name: isinstance(methods[name], TrainedMethod) for name in params.run.methods}
    return [
        *(
            f"run.untrained names {name}, which trains; put it into run.trained"
            for name in params.run.untrained
            if trains[name]
        ),
        *(
            f"run.trained names {name}, which trains nothing; put it into run.untrained"
            for name in params.run.trained
            if not trains[name]
        ),
    ]


def _faults(name: str, method: Method, backbone: str, params: Params) -> list[str]:
    settings = params.backbones[backbone]
    return _too_long(name, method, backbone, settings) + _frozen(name, method)


def _unknown_weights(methods: dict[str, Method], params: Params) -> list[str]:
    """Weights of tasks that do not run. LAMA's relations have names of their own, which only its files tell."""
    listed = {suite: settings.tasks for suite, settings in params.suites.items() if suite in params.run.suites}
    known = {name for suite, tasks in listed.items() for name in (nlu_names(suite) if tasks == "all" else tasks)}
    any_relation = "lama" in listed and listed["lama"] == "all"
    return [
        f"methods.{name}.task_weights names {task!r}, which is no task of this run; known: {', '.join(sorted(known))}"
        for name in params.run.methods
        if isinstance(methods[name], TasksTogether)
        for task in methods[name].settings.task_weights
        if task not in known and not (any_relation and RELATION.fullmatch(task))
    ]


def _frozen(name: str, method: Method) -> list[str]:
    if not isinstance(method, TrainedMethod) or method.state == "tuned":
        return []
    if method.settings.backbone_learning_rate is None:
        return []
    return [f"methods.{name}.backbone_learning_rate: {name} leaves the backbone frozen; remove it"]


def _too_long(name: str, method: Method, backbone: str, settings: BackboneSettings) -> list[str]:
    """A prompt may take at most half of the positions, so that the input keeps the other half."""
    if not isinstance(method, TrainedMethod):
        return []
    lengths = [int(length) for length in method.settings.values_of("prompt_length") if length is not None]
    if settings.architecture is None or not lengths:
        return []
    positions, longest = settings.architecture.positions, max(lengths)
    if longest <= positions // 2:
        return []
    return [
        f"methods.{name}: prompt_length may be {longest}, but backbones.{backbone} has {positions} positions; "
        f"at most {positions // 2} leave room for the input"
    ]


def _unknown_architectures(params: Params) -> list[str]:
    return [
        f"backbones.{name}.architecture.type is {settings.architecture.type!r}, which cannot be pretrained here; "
        f"write one of {', '.join(ARCHITECTURES)}"
        for name, settings in params.backbones.items()
        if settings.architecture and settings.architecture.type not in ARCHITECTURES
    ]


def _unknown_tasks(params: Params) -> list[str]:
    return [
        f"suites.{suite}.tasks names {name!r}; known: {', '.join(nlu_names(suite))}"
        for suite, settings in params.suites.items()
        if suite != "lama" and settings.tasks != "all"
        for name in settings.tasks
        if name not in nlu_names(suite)
    ]


def _tasks_without_template(params: Params) -> list[str]:
    """A task that no method could put to a type of backbone."""
    faults = []
    for suite, settings in params.suites.items():
        meeting = [name for name in params.run.backbones if suite in params.suites_of(name)]
        kinds = {params.backbones[name].kind: name for name in meeting}
        for name in () if suite == "lama" else nlu_names(suite) if settings.tasks == "all" else settings.tasks:
            task = read_definition(definition_path(DEFINITIONS, suite, name), suite, name)
            known = {kind for template in (*task.manual, *task.p_tuning, task.plain) for kind in template.kinds}
            faults += [
                f"suites.{suite}.tasks: {name} has no template for {kind} backbones such as {backbone}; "
                f"add one to {name}.yaml or leave the task out (it has templates for {', '.join(sorted(known))})"
                for kind, backbone in kinds.items()
                if kind not in known
            ]
    return faults
