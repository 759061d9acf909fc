"""Figures: colours that all eyes tell apart, a width that fits, and bytes that only move with what they show."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from helpers import synthetic_results as synthetic
from helpers.synthetic_results import World
from softprompt.paths import Paths
from softprompt.reporting.aggregate import aggregate
from softprompt.reporting.rendering.figures import SHOWN_TICKS, doubling
from softprompt.reporting.rendering.markdown import wrapped_table
from softprompt.reporting.rendering.overviews import pareto_front
from softprompt.reporting.rendering.plots import COLOURS, MARKERS, STYLE, to_svg
from softprompt.result_files import seal_folder

PAGE = 836  # pixels
# Machado, Oliveira and Fernandes 2009, full severity, of linear RGB.
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colours: list[str], eye: np.ndarray) -> np.ndarray:
    coded = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ eye.T, 0, 1) @ LMS.T) @ LAB.T


@pytest.mark.parametrize(("eye", "least"), [*zip(EYES, (0.12, 0.1, 0.1, 0.07), strict=True)])
def test_colours_differ_to_all_eyes_and_from_white(eye: str, least: float) -> None:
    assert len(set(COLOURS)) >= 13
    seen = oklab([*COLOURS], EYES[eye])
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert apart[np.triu_indices(len(seen), 1)].min() >= least
    assert np.linalg.norm(seen - oklab(["#ffffff"], EYES[eye]), axis=-1).min() > 0.15


def test_colour_and_marker_together_are_never_the_same() -> None:
    looks = {(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]) for place in range(100)}
    assert len(looks) == 100


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("figures")
    synthetic.make(root, World())
    aggregate(Paths(root), synthetic.context_of(World()))
    return root


def test_every_figure_fits_a_page(root: Path, tmp_path: Path) -> None:
    world = replace(
        World(),
        backbones=tuple(f"backbone_{n}" for n in range(5)),
        seeds=(100,),
        facts=5,
        methods=("manual", "p_tuning"),
    )
    synthetic.make(tmp_path, world)
    aggregate(Paths(tmp_path), synthetic.context_of(world))
    for path in [*root.glob("reports/plots/*.svg"), *tmp_path.glob("reports/plots/*.svg")]:
        found = re.search(r'width="([0-9.]+)pt"', path.read_text())
        assert found, path
        assert float(found[1]) * 96 / 72 <= PAGE, path.name


def drawn(heights: list[float]) -> list[bytes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3, 2))
        axis = figure.subplots()
        for number, height in enumerate(heights):
            axis.plot(number, height, "o")
        axis.set_ylim(0, 1)
        return to_svg(figure).splitlines()


def test_rounding_noise_moves_nothing_and_a_mark_moves_one_line() -> None:
    heights = [0.21, 0.52, 0.73]
    first = drawn(heights)
    assert drawn([height + 1e-9 for height in heights]) == first
    moved = drawn([0.21, 0.58, 0.73])
    assert sum(one != other for one, other in zip(first, moved, strict=True)) == 1


def test_one_method_moves_its_own_rows(root: Path, tmp_path: Path) -> None:
    synthetic.make(tmp_path, World())
    path = tmp_path / "results/evaluate/tiny_bert/predictions.parquet"
    table = pd.read_parquet(path)
    own = (table["method"] == "prompt_tuning") & (table["task"] == "P2") & (table["split"] == "test")
    right = table.index[own & (table["gold_rank"] == 1)][:1]
    other = table[own & (table["gold_rank"] != 1)].iloc[0]
    table.loc[right, ["prediction", "gold_rank"]] = [other["prediction"], other["gold_rank"]]
    table.to_parquet(path, index=False)
    seal_folder(path.parent)
    aggregate(Paths(tmp_path), synthetic.context_of(World()))
    for name in ("scores.csv", "coverage.csv", "costs.csv", "nearest_tokens.csv", "plots/curves_lama.svg"):
        before, after = ((one / "reports" / name).read_text().splitlines() for one in (root, tmp_path))
        changed = [line for line, was in zip(after, before, strict=True) if line != was]
        assert all("prompt_tuning" in line for line in changed)
        assert bool(changed) == (name == "scores.csv")
    for name in ("plots/scores_lama.svg", "plots/tasks.svg"):
        before, after = ((one / "reports" / name).read_text().splitlines() for one in (root, tmp_path))
        assert 0 < len(set(after) ^ set(before)) <= 12, name


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=50, unique=True).map(sorted))
def test_ticks_are_few_and_inside(steps: list[int]) -> None:
    ticks = doubling(steps)
    assert ticks[0] == steps[0]
    assert ticks[-1] <= steps[-1]
    assert len(ticks) <= SHOWN_TICKS
    assert len({later / earlier for earlier, later in pairwise(ticks)}) <= 1


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20))
def test_the_front_is_what_nothing_cheaper_beats(points: list[tuple[int, int]]) -> None:
    front = pareto_front(pd.DataFrame(points, columns=["rows", "score"], dtype=float), "rows")
    expected = {
        (cost, score)
        for cost, score in points
        if not any(other <= cost and height >= score and (other, height) != (cost, score) for other, height in points)
    }
    assert set(front[["rows", "score"]].itertuples(index=False, name=None)) == expected


def test_a_table_wraps_where_the_page_ends() -> None:
    columns = {f"P{number}": [str(number), "–"] for number in range(17)}
    tables = wrapped_table(["`a`", "`b`"], columns).split("\n\n")
    assert [len(table.splitlines()[0].strip("|").split("|")) - 1 for table in tables] == [8, 8, 1]
    assert all(table.splitlines()[2].startswith("| `a` |") for table in tables)
    assert tables[2] == "| method | P16 |\n| --- | ---: |\n| `a` | 16 |\n| `b` | – |"
