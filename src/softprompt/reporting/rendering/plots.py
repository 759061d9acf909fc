"""How figures look: one style, one colour and marker a method, the same bytes every time."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softprompt.reporting.context import CONTROLS, ReportContext

NEUTRAL = "#8c8c8c"
# Okabe and Ito's colours without yellow, which vanishes on white; markers differ too, so grey prints stay readable.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*")
DASHES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "svg.hashsalt": "softprompt",
}
PANEL_WIDTH = 3.6  # inches
WIDEST_BESIDE = 8.0  # inches of a panel that has others beside it
LEGEND_WIDTH = 1.7
PERCENTAGES = (-3, 103)  # limits of an axis of shares, with room for the marks at its ends


@dataclass(frozen=True)
class Drawing:
    """An SVG and the numbers in it."""

    name: str
    svg: bytes
    data: pd.DataFrame


@dataclass(frozen=True)
class Look:
    """How a method is drawn in every figure."""

    colour: str
    marker: str
    dashes: str


def look_of(context: ReportContext, method: str) -> Look:
    """Fixed by the method's place in params.yaml; controls are grey."""
    place = context.position(method)
    colour = NEUTRAL if method in CONTROLS else COLOURS[place % len(COLOURS)]
    return Look(colour, MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])


def panels(
    titles: Sequence[str], *, height: float, share_y: bool, panel_width: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """A white figure with one panel a title, side by side, or one above the other where they are wide."""
    width = max(PANEL_WIDTH, panel_width)
    rows, columns = (len(titles), 1) if width > WIDEST_BESIDE else (1, len(titles))
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=share_y, squeeze=False).flat)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
    return figure, axes


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG without date, version or random ids."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def legend_above(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, entries in order of first appearance."""
    entries: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = max(1, int(figure.get_figwidth() / LEGEND_WIDTH))
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=columns, frameon=False)
