"""params.yaml -> Params: the only place where settings enter the program, and where wrong ones are refused."""

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from softprompt.config import Frozen, Params
from softprompt.config.names import is_name
from softprompt.errors import UserError, reason_of, shown
from softprompt.user_files import is_there, read_user_text

AnyFrozen = TypeVar("AnyFrozen", bound=Frozen)
HALF_CHARACTER = re.compile(r"\\(u|U0000)[dD][89a-fA-F]")  # a surrogate, which no file can hold


def load_params(path: Path) -> Params:
    """The parsed file. Raises UserError with one line a fault: the key, the value found, what would be valid."""
    if not is_there(path):
        raise UserError(f"{path} is missing; put a profile in place with `make use PROFILE=embedded`")
    return parse_params(read_user_text(path, "the settings of a run"), str(path))


def parse_params(text: str, place: str) -> Params:
    """The parsed text of a params.yaml; `place` begins each line of the error."""
    raw = parse_yaml(text, place)
    if not isinstance(raw, dict):
        raise UserError(f"{place} must be a mapping of sections, found {type(raw).__name__}")
    return parse_section(Params, raw, f"{place}: ")


def parse_yaml(text: str, place: str) -> Any:
    """What a YAML text says. Raises UserError where it is none, which begins with `place`."""
    if HALF_CHARACTER.search(text):
        raise UserError(f"{place}: half a character (\\ud800..\\udfff); write whole ones")
    try:
        return yaml.safe_load(text)
    except Exception as error:  # beside its own: whatever its numbers, dates and truth values stumble over
        raise UserError(f"{place} is not YAML: {reason_of(error)}") from None


def parse_section(model: type[AnyFrozen], raw: dict[str, Any], place: str) -> AnyFrozen:
    """`raw` as a frozen model; `place` begins each line of the error."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults: dict[str, ErrorDetails] = {}
        for fault in error.errors():  # the first one of a key: a union has one for each of its types
            faults.setdefault(key_of(fault, raw), fault)
        deepest = [key for key in faults if not any(other.startswith(f"{key}.") for other in faults)]
        raise UserError("\n".join(f"{place}{_fault(key, faults[key], model)}" for key in deepest)) from None


def key_of(fault: ErrorDetails, raw: Any) -> str:
    """Where a fault is, by the names and numbers on the way there; pydantic puts names of types between them."""
    parts = []
    for depth, part in enumerate(fault["loc"], start=1):
        inside = raw if isinstance(raw, dict) else dict(enumerate(raw)) if isinstance(raw, list) else {}
        if part in inside or (fault["type"] == "missing" and depth == len(fault["loc"])):
            parts.append(str(part) if is_name(str(part)) else shown(part))
        raw = inside.get(part, raw)
    return ".".join(parts)


def _fault(key: str, fault: ErrorDetails, model: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        valid = ", ".join(_keys_at(model, fault["loc"]))
        return f"unknown key {key} (value {shown(fault['input'])}); valid keys here: {valid}"
    if fault["type"] == "missing":
        return f"key {key} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return (
        f"{key} is {shown(fault['input'])}: {message}"
        if fault["loc"] and fault["type"] != "value_error"
        else (f"{key}: {message}" if key else message)
    )


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Field names of the section in which an unknown key was found."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        inner = (
            [t for t in _types_in(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
            if field
            else []
        )
        if inner:
            model = inner[0]
    return list(model.model_fields)


def _types_in(annotation: Any) -> list[Any]:
    found = [annotation]
    for inner in get_args(annotation):
        found.extend(_types_in(inner))
    return found
