"""How figures look: one style, one colour and marker a method, the same bytes every time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softprompt.reporting.context import CONTROLS, ReportContext

NEUTRAL = "#8c8c8c"
# Chosen for the largest smallest distance in OKLab, as seen by all eyes and simulated (Machado 2009) for those that
# lack one kind of cone; the first ones lie furthest apart. Markers differ too, so that grey prints stay readable.
COLOURS = (
    "#000096", "#e1b400", "#7887d2", "#4b000f", "#5a690f", "#00d2ff", "#780fff", "#ff8796", "#874ba5", "#870f5a",
    "#c3872d", "#c35a69", "#5a3c00", "#2d0f4b",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*", "p", "d")  # no divisor in common with the colours
DASHES = ("-", "--", ":", "-.")
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
PAGE_WIDTH = 8.6  # inches, of a page of 836 pixels
PANEL_WIDTH = 3.6
LEGEND_WIDTH = 1.65
PERCENTAGES = (-3, 103)  # limits of an axis of shares, with room for the marks at its ends
COORDINATES = re.compile(rb'( (?:d|x|y|points)=|translate\()("?)([^")]*)')
LONG_NUMBER = re.compile(rb"-?\d+\.\d{3,}")
GROUP_ID = re.compile(rb'(<g) id="[^"]*"')  # counted through the figure, and referred to by nothing


@dataclass(frozen=True)
class Drawing:
    """A figure's name and its SVG."""

    name: str
    svg: bytes


@dataclass(frozen=True)
class Look:
    """How a method is drawn in every figure."""

    colour: str
    marker: str

    def mark(self, *, tuned: bool = False) -> dict[str, Any]:
        """Arguments of a plotted mark, hollow where the backbone is tuned."""
        return {"color": self.colour, "marker": self.marker, **({"markerfacecolor": "white"} if tuned else {})}


def look_of(context: ReportContext, method: str) -> Look:
    """Fixed by the method's place in params.yaml; controls are grey."""
    place = context.position(method)
    colour = NEUTRAL if method in CONTROLS else COLOURS[place % len(COLOURS)]
    return Look(colour, MARKERS[place % len(MARKERS)])


def panels(
    titles: Sequence[str], *, height: float, share_y: bool, panel_width: float = PANEL_WIDTH, extra: float = 0.5
) -> tuple[Figure, list[Axes]]:
    """A white figure with one panel a title, as many beside each other as a page has room for. `extra` inches are the
    legend's."""
    width = min(panel_width, PAGE_WIDTH)
    columns = min(len(titles), int(PAGE_WIDTH / width))
    rows = -(-len(titles) // columns)
    size = (min(width * columns, PAGE_WIDTH), height * rows + extra)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharey=share_y, squeeze=False).flat)
    for axis in axes[len(titles) :]:
        axis.remove()
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    return figure, axes[: len(titles)]


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG without date, version or counted ids, to a hundredth of a point: rounding noise moves nothing,
    and what changes one mark changes one line."""
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return COORDINATES.sub(_rounded, GROUP_ID.sub(rb"\1", buffer.getvalue()))


def _rounded(found: re.Match[bytes]) -> bytes:
    numbers = LONG_NUMBER.sub(lambda one: b"%.2f" % (float(one[0]) + 0.0), found[3])
    return found[1] + found[2] + numbers.replace(b"-0.00", b"0.00")


def legend_above(figure: Figure, axes: Sequence[Axes], more: Mapping[str, Artist] | None = None) -> None:
    """One legend for all panels, entries in order of first appearance."""
    entries: dict[str, Artist] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    entries |= more or {}
    columns = max(1, int(figure.get_figwidth() / LEGEND_WIDTH))
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=columns, frameon=False)
