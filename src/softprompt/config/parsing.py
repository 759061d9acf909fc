"""params.yaml -> Params: the only place where settings enter the program, and where wrong ones are refused."""

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from softprompt.config import Frozen, Params
from softprompt.errors import UserError

AnyFrozen = TypeVar("AnyFrozen", bound=Frozen)


def load_params(path: Path) -> Params:
    """The parsed file. Raises UserError with one line a fault: the key, the value found, what would be valid."""
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; put a profile in place with `make use PROFILE=embedded`") from error
    return parse_params(text, str(path))


def parse_params(text: str, place: str) -> Params:
    """The parsed text of a params.yaml; `place` begins each line of the error."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{place} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{place} must be a mapping of sections, found {type(raw).__name__}")
    return parse_section(Params, raw, f"{place}: ")


def parse_section(model: type[AnyFrozen], raw: dict[str, Any], place: str) -> AnyFrozen:
    """`raw` as a frozen model; `place` begins each line of the error."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        lines = [f"{place}{_fault(fault, model)}" for fault in error.errors()]
        raise UserError("\n".join(lines)) from None


def _fault(fault: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return (
            f"unknown key {key} (value {fault['input']!r}); valid keys here: {', '.join(_keys_at(model, fault['loc']))}"
        )
    if fault["type"] == "missing":
        return f"key {key} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return (
        f"{key} is {fault['input']!r}: {message}"
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
