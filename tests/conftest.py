"""A small world, prepared once, and tiny float64 backbones of every type with random weights. No downloads."""

from pathlib import Path

import pytest
import torch

from helpers.backbones import BACKBONE_TYPES, WORLD, tiny_backbone
from softprompt.backbones.backbone import Backbone
from softprompt.config import SuiteSettings
from softprompt.data.prepare import prepare_suite


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/prepared of a small embedded world: lama and superglue."""
    folder = tmp_path_factory.mktemp("prepared")
    for suite in ("lama", "superglue"):
        prepare_suite(suite, SuiteSettings(source="embedded", test_limit=40), WORLD, folder / suite)
    return folder


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


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tests share the cores with each other."""
    torch.set_num_threads(1)
