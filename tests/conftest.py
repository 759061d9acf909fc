"""A small world, prepared once, and tiny float64 backbones of every type with random weights. No downloads."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from helpers.backbones import BACKBONE_TYPES, WORLD, tiny_backbone
from helpers.paths import REAL
from helpers.seeds import seed_libraries
from softprompt.backbones.backbone import Backbone
from softprompt.config import SuiteSettings
from softprompt.data.prepare import prepare_suite
from softprompt.paths import Paths

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell, and so in all that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)

NO_REAL_DATA = "there is no real data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets, laid out as data/raw is. Tests that need it skip where it is not there."""
    if not REAL.is_dir():
        pytest.skip(NO_REAL_DATA)
    return REAL


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on the tests that were skipped for want of the real data, and how to get it."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_REAL_DATA in str(report.longrepr)]
    if skipped:
        line = f"{len(skipped)} tests SKIPPED FOR WANT OF REAL DATA at {REAL}: put the official files there as "
        line += "data/raw/README.md lays them out, or name their folder in SOFTPROMPT_REAL_DATA"
        terminalreporter.write_line(line, yellow=True, bold=True)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of a small embedded world: lama and superglue. data/test is beside it."""
    paths = Paths(tmp_path_factory.mktemp("world"))
    for suite in ("lama", "superglue"):
        prepare_suite(suite, SuiteSettings(source="embedded", test_limit=40), WORLD, paths)
    return paths.prepared


@pytest.fixture(scope="session")
def extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of the example set."""
    paths = Paths(tmp_path_factory.mktemp("extra"))
    settings = SuiteSettings(source="embedded", dev_share=0.2, train_limit=60, test_limit=20)
    prepare_suite("extra", settings, WORLD, paths)
    return paths.prepared


@pytest.fixture(scope="session", params=BACKBONE_TYPES)
def backbone(request: pytest.FixtureRequest, prepared: Path) -> Backbone:
    """Every supported type in turn."""
    return tiny_backbone(request.param, prepared)


@pytest.fixture(scope="session")
def gpt2(prepared: Path) -> Backbone:
    return tiny_backbone("gpt2", prepared)


@pytest.fixture(scope="session")
def bert(prepared: Path) -> Backbone:
    return tiny_backbone("bert", prepared)


@pytest.fixture(scope="session")
def t5(prepared: Path) -> Backbone:
    return tiny_backbone("t5", prepared)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share the cores with each other."""
    torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> None:
    seed_libraries(fixturedef.argname)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    seed_libraries(item.nodeid)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """What a command called in this process does on Ctrl-C ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
