"""Data in Markdown, read back through a renderer of its own: text stays text, code stays code."""

from html import unescape
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from helpers.fuzzing import fuzz, texts
from softprompt.reporting.rendering.markdown import as_code, as_text, table

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = (
    "a|b", "`a`", "a``b`", "|`|", "\\|", "a\\", "<b>x</b>", "<script>", "&lt;", "*a*", "_a_", "a_b_c", "**a", "[a](b)",
    "![a](b)", "~~a~~", "# a", "- a", "1. a", "a\n\nb", "a\r\nb", "http://x", "\u2028", "\x00",
)  # fmt: skip


class Cells(HTMLParser):
    """The texts of the body's cells, and every tag within them."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "td":
            self.cells.append("")
        elif self.cells:
            self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def rendered(cell: str) -> tuple[list[str], set[str]]:
    cells = Cells()
    cells.feed(RENDERER.render(table(["one", "two"], [[cell, "end"]])))
    return [" ".join(text.split()) for text in cells.cells], set(cells.tags)


def on_one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


@pytest.mark.parametrize("text", HOSTILE)
def test_data_in_a_cell_is_text(text: str) -> None:
    assert rendered(as_text(text)) == ([on_one_line(text), "end"], set())


@pytest.mark.parametrize("text", HOSTILE)
def test_data_in_a_cell_is_code(text: str) -> None:
    cells, tags = rendered(as_code(text))
    assert cells == [on_one_line(text), "end"]
    assert tags <= {"code"}


@pytest.mark.parametrize("text", HOSTILE)
def test_data_in_a_line_is_text(text: str) -> None:
    html = RENDERER.render(f"- done: {as_text(text)}")
    assert on_one_line(unescape(html.removeprefix("<ul>\n<li>").removesuffix("</li>\n</ul>\n"))) == on_one_line(
        f"done: {text}"
    )


@fuzz(text=texts)
def test_any_data_is_text(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert rendered(as_text(text)) == ([on_one_line(text), "end"], set())
