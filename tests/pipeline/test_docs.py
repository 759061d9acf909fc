"""Documentation keeps up with the code: every method has its page."""

import re

import pytest

from helpers.paths import ROOT
from softprompt.methods import METHODS

DOCS = ROOT / "docs" / "methods"
INDEX = (DOCS / "README.md").read_text()
ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|.*\| \[\w+\]\((\w+\.md)\) \|$", re.MULTILINE)
PAGES = {name: page for names, page in ROW.findall(INDEX) for name in re.findall(r"\w+", names)}


def test_the_index_lists_every_method_and_no_other() -> None:
    assert sorted(PAGES) == sorted(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_methods_page_names_it_and_says_how_to_read_its_rows(name: str) -> None:
    text = (DOCS / PAGES[name]).read_text()
    assert re.search(rf"`{name}`|^# .*\b{name}\b", text, re.MULTILINE)
    assert re.search(r"[Rr]ead(ing)? \w+ rows", text)


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (DOCS / target).is_file(), f"{page.name} -> {target}"


def test_the_tests_that_hold_the_trust_model_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py|test_\w+\.py)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 5
    assert not [name for name in named if not list(ROOT.glob(name if "/" in name else f"tests/**/{name}"))]
