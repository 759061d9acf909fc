"""Tests are handed the same randomness whatever ran before them."""

import random

import numpy as np
import pytest
import torch

from helpers.seeds import seed_libraries


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


@pytest.fixture
def of_a_fixture() -> tuple[float, float, float]:
    return drawn()


def test_what_libraries_draw_hangs_on_the_name_alone(
    request: pytest.FixtureRequest, of_a_fixture: tuple[float, float, float]
) -> None:
    own = drawn()
    seed_libraries(request.node.nodeid)
    assert own == drawn()
    seed_libraries("of_a_fixture")
    assert of_a_fixture == drawn()
    assert own != of_a_fixture
