"""The figures of docs/speed.md."""

from collections.abc import Iterator, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softprompt.benchmark.records import Bench, Speed
from softprompt.benchmark.settings import MINI
from softprompt.reporting.rendering.plots import COLOURS, MARKERS, NEUTRAL, STYLE, legend_above, panels, to_svg

PEER, FLEET, LIMIT = "PEFT + Trainer", "fleet", "bare matrix products"
HEIGHT = 2.6


def draw_all(bench: Bench) -> dict[str, bytes]:
    """Every figure as SVG by its file's name."""
    with mpl.rc_context(STYLE):
        return {"widths.svg": to_svg(_widths(bench)), "costs.svg": to_svg(_costs(bench))}


def sweep(bench: Bench, shape: str, axis: str = "members", method: str = "prompt_tuning") -> list[Speed]:
    """The peer, then the fleets of one mini setting on all threads, by width."""
    found = [
        one
        for one in bench.training
        if (one.shape, one.size, one.axis, one.method, one.threads) == (shape, MINI.name, axis, method, bench.threads)
    ]
    return sorted(found, key=lambda one: (one.contender == "fleet", one.members))


def _widths(bench: Bench) -> Figure:
    """Speed and memory against the width of a fleet, a panel each a shape."""
    shapes = list(dict.fromkeys(one.shape for one in bench.training))
    titles = [f"{shape}: {what}" for what in ("speed", "memory") for shape in shapes]
    figure, axes = panels(titles, height=HEIGHT, share_y=False)
    for number, shape in enumerate(shapes):
        peer, *fleets = sweep(bench, shape)
        _draw_speeds(axes[number], peer, fleets)
        _draw_memory(axes[number + len(shapes)], peer, fleets)
    legend_above(figure, axes)
    return figure


def _draw_speeds(axis: Axes, peer: Speed, fleets: Sequence[Speed]) -> None:
    widths = [one.members for one in fleets]
    speeds = [one.member_steps_per_second for one in fleets]
    limits = [one.member_steps_per_second.median / one.of_limit.median for one in fleets if one.of_limit]
    axis.axhline(peer.member_steps_per_second.median, color=COLOURS[1], linestyle="--", label=PEER)
    axis.plot(widths, [one.median for one in speeds], color=COLOURS[0], marker=MARKERS[0], label=FLEET)
    axis.fill_between(
        widths, [one.low for one in speeds], [one.high for one in speeds], color=COLOURS[0], alpha=0.25, linewidth=0
    )
    axis.plot(widths, limits, color=NEUTRAL, linestyle=":", label=LIMIT)
    axis.set(ylim=(0, None), ylabel="member-steps a second")
    _number_of(axis, "members", widths)


def _draw_memory(axis: Axes, peer: Speed, fleets: Sequence[Speed]) -> None:
    widths = [one.members for one in fleets]
    axis.axhline(peer.memory_bytes / 1e6, color=COLOURS[1], linestyle="--", label=PEER)
    axis.plot(widths, [one.memory_bytes / 1e6 for one in fleets], color=COLOURS[0], marker=MARKERS[0], label=FLEET)
    axis.set(ylim=(0, None), ylabel="peak beyond the weights, MB")
    _number_of(axis, "members", widths)


def _costs(bench: Bench) -> Figure:
    """Seconds that a step of all of them takes, together and one after the other."""
    drawn = list(sweeps(bench))
    figure, axes = panels([title for title, _, _ in drawn], height=HEIGHT, share_y=True)
    for axis, (_, peer, fleets) in zip(axes, drawn, strict=True):
        counts = [one.members for one in fleets]
        alone = [count / peer.member_steps_per_second.median for count in counts]
        together = [one.members / one.member_steps_per_second.median for one in fleets]
        axis.plot(counts, alone, color=COLOURS[1], linestyle="--", marker=MARKERS[1], label=f"{PEER}, one by one")
        axis.plot(counts, together, color=COLOURS[0], marker=MARKERS[0], label=f"{FLEET} of all")
        axis.set_yscale("log")
        _number_of(axis, fleets[0].axis, counts)
    axes[0].set_ylabel("seconds for a step of all")
    legend_above(figure, axes)
    return figure


def sweeps(bench: Bench) -> Iterator[tuple[str, Speed, list[Speed]]]:
    """What grows along an axis: a title, the peer, the fleets."""
    known = dict.fromkeys((one.axis, one.shape, one.method) for one in bench.training)
    for axis, shape, method in sorted(known):
        found = sweep(bench, shape, axis, method)
        if len(found) > 3:  # more than a fleet of one and a wide one
            yield f"{axis}: {method}, {shape}", found[0], found[1:]


def _number_of(axis: Axes, what: str, counts: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(counts), [str(count) for count in counts])
    axis.minorticks_off()
    axis.set_xlabel(f"number of {what}")
