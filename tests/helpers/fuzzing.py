"""What fuzz tests draw: JSON, and files with damage. Few examples in the suite, many in `make torture`."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from softprompt.errors import LONGEST_LINE, UserError

SHORT, LONG = 30, 3_000  # examples
PHASES = (Phase.explicit, Phase.generate)  # to make large files small again takes minutes each
HOSTILE = (
    "", " ", "\x00", "\n", "\r", "\u2028", "`", "|", "<b>", "../x", "/etc/x", "'", '"', "; touch x", "$(x)", "{mask}",
    "{x}", "[X]", "[Y]", "[MASK]", "@placeholder", "\ud800", "nan", "x" * 300, "😀", "e\u0301", "P19",
)  # fmt: skip
texts = st.sampled_from(HOSTILE) | st.text(max_size=8)
numbers = st.integers() | st.sampled_from([10**400, -(2**63), 2**64]) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
BYTES = (
    b"", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\t", b'"', b"[" * 3000, b"9" * 5000, b"\\ud800",
    b"x" * 3000, b"!!float _", b"&a [*a]", b"NaN", b"1e999", b"{", b"}", b": ", b"- ", b"#", b",",
)  # fmt: skip


def fuzz(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The test with these arguments drawn. Its other arguments are fixtures."""

    def decorate(holds: Callable[..., None]) -> Callable[..., None]:
        def test(examples: int, **fixtures: Any) -> None:
            @settings(max_examples=examples, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
            @given(**strategies)
            def repeated(**drawn: Any) -> None:
                holds(**fixtures, **drawn)

            repeated()

        fixtures = [one for one in inspect.signature(holds).parameters.values() if one.name not in strategies]
        examples = inspect.Parameter("examples", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        test.__signature__ = inspect.Signature([examples, *fixtures])  # type: ignore[attr-defined]
        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        long = pytest.param(LONG, marks=pytest.mark.torture)
        return pytest.mark.parametrize("examples", [SHORT, long])(test)

    return decorate


def unless_refused(work: Callable[[], Any], *, lines: int = 1) -> Any:
    """What `work` gives, or None where it raises a UserError, whose message has to be short."""
    try:
        return work()
    except UserError as error:
        said = str(error).split("\n")
        assert len(said) <= lines, said
        assert all(len(line) <= LONGEST_LINE and line.isprintable() for line in said), said
        return None


@st.composite
def changed(draw: st.DrawFn, original: Any) -> Any:
    """A copy of a nested value with one or two of its places removed, doubled, or filled with another value."""
    copy = json.loads(json.dumps(original))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(sorted(_places(copy), key=repr))) if isinstance(copy, dict | list) and copy else ()
        copy = _with_change(draw, copy, place)
    return copy


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, inner in items for place in _places(inner, (*above, key))]
    return [above, *below] if above else below


def _with_change(draw: st.DrawFn, value: Any, place: tuple[Any, ...]) -> Any:
    if not place:
        return draw(values)
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    kind = draw(st.sampled_from(["remove", "replace", "rename"]))
    if kind == "replace":
        holder[place[-1]] = draw(values)
    elif kind == "remove" or not isinstance(holder, dict):
        holder.pop(place[-1])
    else:
        holder[draw(texts)] = holder.pop(place[-1])
    return value


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """The bytes cut short, or with some of them exchanged for others."""
    start = draw(st.integers(0, len(original)))
    if draw(st.booleans()):
        return original[:start]
    end = draw(st.integers(start, min(len(original), start + 12)))
    return original[:start] + draw(st.sampled_from(BYTES) | st.binary(max_size=4)) + original[end:]


def as_lines(rows: list[Any]) -> bytes:
    """JSON lines. Half characters and endless numbers are written as JSON has them."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
