"""How often the reports' 95 % intervals hold the truth, by simulation; the table of docs/statistics.md.

Run as `python -m helpers.coverage` from the folder tests, it writes the table anew.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from helpers.paths import ROOT
from softprompt.reporting.analysis.two_way import Layout, Scored, score, spread_of

PAGE = ROOT / "docs" / "statistics.md"
HEAD = "| replicates x clusters | normal clusters | skewness 1.4 | skewness 2 |"
SHAPES = ((4, 6), (5, 6), (5, 10), (5, 30), (3, 100), (2, 30), (1, 30))  # replicates, clusters
EFFECTS = (0.0, 0.3, 1.5)  # standard deviations of the effects of replicates
SIMULATIONS = 6000
INTERACTION = 0.6  # standard deviation of the effects of replicates and clusters together

Draw = Callable[..., np.ndarray]  # (generator, *shape) -> effects of clusters, mean 0 and standard deviation 1


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def gamma(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Skewness 1.4."""
    return (rng.gamma(2.0, size=shape) - 2.0) / np.sqrt(2.0)


def exponential(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Skewness 2."""
    return rng.exponential(size=shape) - 1.0


def of_one_stratum(clusters: int) -> Layout:
    """Clusters of equal weight."""
    return Layout(tuple(range(clusters)), np.full(clusters, 1 / clusters), np.zeros(clusters, dtype=int))


def simulated(
    rng: np.random.Generator, simulations: int, replicates: int, clusters: int, effect: float, draw: Draw
) -> Scored:
    """Scores whose true value is 0: effects of replicates, of clusters, and of both together."""
    cells = draw(rng, simulations, 1, clusters) + INTERACTION * rng.normal(size=(simulations, replicates, clusters))
    return score(cells + effect * rng.normal(size=(simulations, replicates, 1)), of_one_stratum(clusters))


def coverage(found: Scored) -> float:
    """The share of intervals that hold 0."""
    return float((np.abs(found.value) <= spread_of(found).margin()).mean())


def rows() -> Iterator[str]:
    """The table in Markdown: lowest and highest coverage in % over the effects of replicates, which one has none of."""
    yield from (HEAD, "| --- | --- | --- | --- |")
    for replicates, clusters in SHAPES:
        cells = []
        for draw in (normal, gamma, exponential):
            rng = np.random.default_rng(replicates * 1000 + clusters)
            effects = EFFECTS if replicates > 1 else EFFECTS[:1]
            found = [coverage(simulated(rng, SIMULATIONS, replicates, clusters, effect, draw)) for effect in effects]
            low, high = f"{100 * min(found):.1f}", f"{100 * max(found):.1f}"
            cells.append(low if low == high else f"{low} to {high}")
        yield f"| {replicates} x {clusters} | {' | '.join(cells)} |"


def rewritten(page: str) -> str:
    """The page with the table as it is found now."""
    before, _, rest = page.partition(HEAD)
    return before + "\n".join(rows()) + "\n\n" + rest.partition("\n\n")[2]


def main(page: Path = PAGE) -> None:
    page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
