"""A params.yaml or profile that no parser likes is refused in a short line, whatever it holds."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.paths import ROOT
from helpers.profiles import fixture_content
from softprompt.config.profiles import profile_text
from softprompt.errors import LONGEST_LINE, UserError
from softprompt.experiments.checks import load_checked_params

TEXT = yaml.safe_dump(fixture_content()).encode()
ALIASES = b"".join(b"\nz%d: &z%d [%s]" % (n, n, b",".join([b"*z%d" % (n - 1)] * 10)) for n in range(1, 7))
NOT_PARAMS: dict[str, tuple[bytes, str]] = {
    "no UTF-8": (b"# \xff\n" + TEXT, r"byte 3 is not UTF-8; .* save it as UTF-8"),
    "UTF-16": (TEXT.decode().encode("utf-16"), "byte 1 is not UTF-8"),
    "a NUL": (b"\x00" + TEXT, "is not YAML: unacceptable character"),
    "nothing": (b"", "must be a mapping of sections, found NoneType"),
    "a long number": (TEXT + b"x: " + b"9" * 5000, r"Exceeds the limit \(4300 digits\)"),
    "a long number of a key": (
        TEXT.replace(b"max_tokens: ", b"max_tokens: " + b"9" * 4000, 1),
        "less than or equal to",
    ),
    "a long hexadecimal": (TEXT + b"x: 0x" + b"f" * 5000, r"unknown key x \(value a very long int\)"),
    "deep brackets": (TEXT + b"x: " + b"[" * 3000, "nested too deeply"),
    "deep blocks": (TEXT + b"".join(b" " * n + b"a:\n" for n in range(1500)), "nested too deeply"),
    "no date": (TEXT + b"x: 2020-13-45", "month must be in 1..12"),
    "no number": (TEXT + b"x: !!float _", "string index out of range"),
    "aliases of aliases": (TEXT + b"\nz0: &z0 [x]" + ALIASES, "unknown key z6 .* valid keys here"),
    "an alias of itself": (TEXT + b"\nq: &q [*q]", r"unknown key q \(value \[+\.\.\.\]+\)"),
    "half a character": (TEXT.replace(b"purpose: ", b'purpose: "\\ud800" # ', 1), "half a character"),
}


@pytest.mark.parametrize("case", NOT_PARAMS)
def test_a_file_that_cannot_be_parsed_is_refused_in_short_lines(case: str, tmp_path: Path) -> None:
    content, message = NOT_PARAMS[case]
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    refused(path, message)


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as refusal:
        load_checked_params(path)
    assert all(len(line) <= LONGEST_LINE and line.isprintable() for line in str(refusal.value).split("\n"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is missing; put a profile in place"):
        load_checked_params(tmp_path / "params.yaml")
    refused(tmp_path, "not a file; expected the settings of a run")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop", "not a file")


PRETRAINING = "backbones.tiny_bert.pretraining"
NUMBERS: tuple[tuple[str, Any, str], ...] = (
    ("seeds", [0, 0], "seeds: 0 stands there 2 times; write it once"),
    ("seeds", [-1], r"seeds\.0 is -1: .* greater than or equal to 0"),
    ("seeds", [2**70], r"seeds\.0 is 1180591620717411303424: .* less than or equal to 2147483647"),
    ("run.backbones", ["tiny_bert", "tiny_bert"], "run.backbones: 'tiny_bert' stands there 2 times"),
    ("run.backbones", [], "run.backbones is \\[\\]: .* at least 1 item"),
    ("run.suites", ["lama", "lama"], "run.suites: 'lama' stands there 2 times"),
    ("run.trained", ["pet", "pet"], "run.trained: 'pet' stands there 2 times"),
    ("suites.superglue.tasks", ["rte", "rte"], "suites.superglue.tasks: 'rte' stands there 2 times"),
    ("methods.p_tuning.search.learning_rate.high", math.inf, r"learning_rate\.high: inf is no finite number; write"),
    ("methods.p_tuning.search.learning_rate.high", 10**400, r"learning_rate\.high: 1000.* is no finite number"),
    ("methods.p_tuning.search.learning_rate.low", math.nan, r"learning_rate\.low: nan is no finite number"),
    ("methods.p_tuning.search.learning_rate.low", "1e-5", r"'1e-5' is no finite number; .*YAML reads 1e-3 as text"),
    ("methods.prompt_tuning.search.learning_rate", [0.1, math.inf], r"learning_rate\.1: inf is no finite number"),
    ("methods.p_tuning.recipe.clip_norm", math.inf, "recipe.clip_norm is inf: .* finite number"),
    ("world.withheld", math.nan, "world.withheld is nan: .* finite number"),
    (f"{PRETRAINING}.learning_rate", math.inf, "learning_rate is inf: .* finite number"),
    (f"{PRETRAINING}.learning_rate", -1.0, "learning_rate is -1.0: .* greater than 0"),
    (f"{PRETRAINING}.warmup_steps", -1, "warmup_steps is -1: .* greater than or equal to 0"),
    (f"{PRETRAINING}.seed", 2**70, "seed is 1180591620717411303424: .* less than"),
    (
        "backbones.tiny_bert.architecture.heads",
        3,
        "architecture: heads is 3, which does not divide hidden_size 64; write heads: 2",
    ),
)


@pytest.mark.parametrize(("keys", "value", "message"), NUMBERS)
def test_impossible_numbers_and_repetitions_are_refused(keys: str, value: Any, message: str, tmp_path: Path) -> None:
    content = fixture_content()
    *parents, last = keys.split(".")
    section = content
    for key in parents:
        section = section[key]
    section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    refused(path, rf"params\.yaml: .*{message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"profile: p\n# \xff\n", "byte 14 is not UTF-8"),
        (b"profile: p\nx: " + b"9" * 5000, r"Exceeds the limit \(4300 digits\)"),
        (b"profile: p\nx: " + b"[" * 2000, "nested too deeply"),
        (b"profile: p\nprofile: p\n", "found duplicate key"),
        (b"profile: q\n", "profile is 'q', but the file's name says 'p'"),
    ],
)
def test_a_profile_that_cannot_be_parsed_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_bytes((ROOT / "profiles" / "base.yaml").read_bytes())
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"p\.yaml.* {message}"):
        profile_text("p", tmp_path)
    (tmp_path / "p.yaml").unlink()
    (tmp_path / "p.yaml").mkdir()
    with pytest.raises(UserError, match=r"p\.yaml: not a file"):
        profile_text("p", tmp_path)
