"""A profile is an overlay of `profiles/base.yaml`; both together are the flat, commented params.yaml.

Mappings merge key by key, at every depth; lists and scalars of the overlay replace those of base; `null` drops a key.
A comment stands on the line of its key: the overlay's replaces base's, which stays where the overlay has none.
"""

from copy import deepcopy
from io import StringIO
from itertools import takewhile
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.tokens import CommentToken

from softprompt.config import Params
from softprompt.errors import UserError, reason_of, shown
from softprompt.user_files import read_user_text

PROFILES = Path("profiles")
BASE = "base"
EXPECTED_FILE = "the settings of a profile"
TITLE = (
    "# The settings of the suite. This file is the profile `{name}`; "
    "`make use PROFILE=...` puts another one in its place."
)


def profile_names(folder: Path = PROFILES) -> list[str]:
    """The profiles of the folder, sorted; `base` is none."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != BASE)


def profile_place(name: str, folder: Path = PROFILES) -> str:
    """How messages call the merged profile: its settings may come from either file."""
    return f"{folder / name}.yaml over {BASE}.yaml"


def profile_text(name: str, folder: Path = PROFILES) -> str:
    """The profile as the text of a params.yaml.

    Raises UserError where there is no such profile or it cannot be merged; `parse_params` judges the values.
    """
    if name not in profile_names(folder):
        raise UserError(f"no profile {shown(name)} in {folder}; there are: {', '.join(profile_names(folder))}")
    base, overlay = (folder / f"{stem}.yaml" for stem in (BASE, name))
    sections = merged(_read(base), _read(overlay), f"{profile_place(name, folder)}: ")
    if sections.get("profile") != name:
        raise UserError(f"{overlay}: profile is {shown(sections.get('profile'))}, but the file's name says {name!r}")
    header = takewhile(lambda line: line.startswith("#"), read_user_text(overlay, EXPECTED_FILE).splitlines())
    return "\n".join([TITLE.format(name=name), *header, *_lines(sections)]) + "\n"


def merged(base: CommentedMap, overlay: CommentedMap, place: str = "") -> CommentedMap:
    """A new mapping: base with what the overlay says otherwise. `place` begins the error's line."""
    result = deepcopy(base)
    for key, value in overlay.items():
        inherited = result.get(key)
        if value is None:
            _drop(result, key, place)
            continue
        both = isinstance(value, CommentedMap) and isinstance(inherited, CommentedMap)
        result[key] = merged(inherited, value, f"{place}{key}.") if both else deepcopy(value)
        if key in overlay.ca.items:
            result.ca.items[key] = deepcopy(overlay.ca.items[key])
    return result


def _drop(section: CommentedMap, key: str, place: str) -> None:
    if key not in section:
        raise UserError(f"{place}{key} is null, which drops a key of {BASE}.yaml, but there is none of that name")
    del section[key]
    section.ca.items.pop(key, None)


def _yaml() -> YAML:
    yaml = YAML()  # keeps comments, quotes and how numbers are written
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _read(path: Path) -> CommentedMap:
    text = read_user_text(path, EXPECTED_FILE)
    try:
        content = _yaml().load(text)
    except Exception as error:  # as `parse_yaml`'s
        raise UserError(f"{path} is not YAML: {reason_of(error)}") from None
    if not isinstance(content, CommentedMap):
        raise UserError(f"{path} must be a mapping of sections, found {type(content).__name__}")
    _tidy_comments(content)
    return content


def _lines(sections: CommentedMap) -> list[str]:
    """The sections in the order of Params, unknown ones last, with a blank line around each that has several lines."""
    order = [key for key in (*Params.model_fields, *sections) if key in sections]
    ordered = CommentedMap((key, sections[key]) for key in order)
    ordered.ca.items.update(sections.ca.items)
    stream = StringIO()
    _yaml().dump(ordered, stream)
    lines: list[str] = []
    for line in filter(str.strip, stream.getvalue().splitlines()):
        opens = line.partition(" #")[0].endswith(":")
        if lines and not line.startswith(" ") and (opens or lines[-1].startswith(" ")):
            lines.append("")
        lines.append(line)
    return lines


def _tidy_comments(section: CommentedMap | CommentedSeq) -> None:
    """Comments follow one blank after what they explain, wherever they stood; blank lines are forgotten."""
    for key, tokens in list(section.ca.items.items()):
        comments = [token for token in tokens if isinstance(token, CommentToken) and "#" in token.value]
        for token in comments:
            token.column = 0
        if not comments:
            del section.ca.items[key]
    for value in section.values() if isinstance(section, CommentedMap) else section:
        if isinstance(value, CommentedMap | CommentedSeq):
            _tidy_comments(value)
