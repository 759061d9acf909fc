"""Mean ranks over tasks: a table, and where there are tasks enough a critical-difference plot (Demsar 2006)."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softprompt.reporting.analysis.frames import rows_of, select
from softprompt.reporting.analysis.intervals import ALL_TASKS
from softprompt.reporting.analysis.ranks import Ranking, has_critical_difference
from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.rendering.markdown import DASH, counted, joined, p_value, table, whole_percent
from softprompt.reporting.rendering.plots import NEUTRAL, Drawing, look_of, to_svg
from softprompt.reporting.rendering.scoreboard import state_of

PANEL_WIDTH = 7.0  # inches
LINE = 0.2  # inches between two names
CLIQUE = 0.14  # inches between two bars


def rank_table(report: Report, suite: str) -> str:
    """A row a method with its mean rank and its interval; a column a backbone."""
    ranks = select(report.ranks, suite=suite, task=ALL_TASKS)
    found = {(row.method, row.backbone): f"{row.rank:.1f} ({row.low:.1f} to {row.high:.1f})" for row in rows_of(ranks)}
    backbones = report.context.backbones
    rows = [
        [f"`{method}`", state_of(report, method), *(found.get((method, name), DASH) for name in backbones)]
        for method in ranks.groupby("method")["rank"].mean().sort_values(kind="stable").index
    ]
    return table(["method", "backbone weights", *backbones], rows, left=2) if rows else ""


def rank_words(report: Report, suite: str) -> str:
    """What the ranks are, and of backbones with tasks enough what Friedman's test says."""
    words = (
        f"Mean rank over tasks, 1 the best, frozen and tuned methods together, with its {whole_percent(CONFIDENCE)} "
        "interval over tasks and replicates. Methods that lack a task have no rank."
    )
    tested = [one for one in report.rankings if one.suite == suite and has_critical_difference(one)]
    if not tested:
        return words
    tests = [f"{one.backbone}: {p_value(one.friedman_p())}, {one.critical_difference():.1f} ranks" for one in tested]
    return (
        f"{words}\n\n![Critical differences](plots/ranks_{suite}.svg)\n\n"
        "Methods joined by a bar lie less than the critical difference (Nemenyi's, "
        f"{whole_percent(ALPHA)} for all pairs together) apart. Friedman's test and critical difference, "
        f"{joined(tests)}."
    )


def draw_ranks(report: Report, suite: str) -> Drawing | None:
    """Demsar's diagram, one above the other a backbone; nothing below five tasks."""
    shown = [one for one in report.rankings if one.suite == suite and has_critical_difference(one)]
    if not shown:
        return None
    heights = [_height(one) for one in shown]
    figure = Figure(figsize=(PANEL_WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=heights).flat
    for axis, ranking in zip(panels, shown, strict=True):
        _draw_ranking(report, axis, ranking)
    return Drawing(f"ranks_{suite}", to_svg(figure))


def cliques(means: list[float], critical: float) -> list[tuple[int, int]]:
    """First and last place of every longest run of sorted mean ranks that lie less than the difference apart."""
    found: list[tuple[int, int]] = []
    for first, lowest in enumerate(means):
        last = max(place for place, mean in enumerate(means) if mean - lowest < critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _height(ranking: Ranking) -> float:
    names = (len(ranking.methods) + 1) // 2
    bars = len(cliques(list(ranking.means), ranking.critical_difference()))
    return 1.1 + LINE * names + CLIQUE * bars


def _draw_ranking(report: Report, axis: Axes, ranking: Ranking) -> None:
    """Ranks from left (best) to right on a line at height 0; bars below it, names below them on both sides."""
    means, count, critical = list(ranking.means), len(ranking.methods), ranking.critical_difference()
    bars = cliques(means, critical)
    for number, (first, last) in enumerate(bars):
        height = -CLIQUE * (number + 1)
        axis.plot([means[first] - 0.04, means[last] + 0.04], [height, height], color="black", linewidth=2.5)
    half = (count + 1) // 2
    for place, (method, mean) in enumerate(zip(ranking.methods, means, strict=True)):
        left = place < half
        height = -CLIQUE * (len(bars) + 1) - LINE * ((place if left else count - 1 - place) + 0.5)
        edge, look = (0.6 if left else count + 0.4), look_of(report.context, method)
        axis.plot([mean, mean, edge], [0, height, height], color=NEUTRAL, linewidth=0.8)
        axis.plot(mean, 0, look.marker, color=look.colour, markersize=5, clip_on=False)
        tuned = " (tuned)" if ranking.states[place] == "tuned" else ""
        name = f"{method}{tuned} {mean:.1f} " if left else f" {mean:.1f} {method}{tuned}"
        axis.text(edge, height, name, ha="right" if left else "left", va="center", fontsize=8)
    axis.plot([1, 1 + critical], [0.42, 0.42], color="black", linewidth=2.5)
    axis.text(1, 0.5, f"critical difference {critical:.1f}", ha="left", va="bottom", fontsize=8)
    axis.set_title(f"{ranking.backbone}, {counted(len(ranking.tasks), 'task')}", loc="right")
    axis.set(xlim=(0.6, count + 0.4), ylim=(-CLIQUE * (len(bars) + 1) - LINE * (half + 0.3), 0.75))
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.spines["top"].set(visible=True, position=("data", 0))
    axis.set_yticks([])
    axis.set_xticks(range(1, count + 1))
    axis.tick_params(axis="x", top=True, bottom=False, labeltop=True, labelbottom=False, pad=1)
    axis.grid(visible=False)
