"""The pictures of evaluations, comparisons and tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kayak.evaluation.results import RECALL, EvaluationResult
from kayak.plotting import INK, PALETTE, new_figure, plain, save_figure, tidy

if TYPE_CHECKING:
    from kayak.evaluation.comparison import PlanComparison
    from kayak.evaluation.scan_rates import ScanRates
    from kayak.evaluation.tuning_result import TuningResult

_MARKERS = "osD^vPX*<>"
_COLUMNS = 3
_MANY_NAMES = 12


def plot_comparison(comparison: PlanComparison, path: str | Path) -> Path:
    """Draw recall over latency: a point for each result at its median, a whisker to the ninth decile, and the front."""
    figure = new_figure(9.0, 5.2)
    axes = figure.add_subplot()
    front = comparison.pareto_front
    if len(front) > 1:
        axes.plot(
            [each.latency.p50 * 1e3 for each in front],
            [each.recall.final for each in front],
            color="#94a3b8",
            linewidth=1.4,
            linestyle="--",
            zorder=1,
            label="Pareto front",
        )
    backends = list(dict.fromkeys(each.backend for each in comparison))
    plans = list(dict.fromkeys(each.plan_name for each in comparison))
    for each in comparison:
        place = plans.index(each.plan_name)
        middle, late = each.latency.p50 * 1e3, each.latency.p90 * 1e3
        colour = PALETTE[place % len(PALETTE)]
        axes.errorbar(
            middle,
            each.recall.final,
            xerr=[[0.0], [late - middle]],
            fmt=_MARKERS[backends.index(each.backend) % len(_MARKERS)],
            color=colour,
            markersize=9,
            markeredgecolor="white",
            elinewidth=1,
            capsize=2,
            zorder=3 if each in front else 2,
            label=plain(each.name),
        )
    axes.set_xscale("log")
    _readable_log_ticks(axes.xaxis)
    lowest = min(each.recall.final for each in comparison)
    axes.set_ylim(max(-0.03, lowest - 0.08), 1.03)
    axes.set_xlabel("milliseconds a query (logarithmic): median, with a whisker to the 90th percentile")
    axes.set_ylabel(f"recall of the exact top {comparison.k}")
    first = comparison.results[0]
    axes.set_title(
        f"What each plan keeps, and what it takes: {len(first.queries):,} queries, {first.document_count:,} documents",
        loc="left",
        fontsize=11,
        color=INK,
    )
    tidy(axes)
    columns = 1 if len(comparison) <= _MANY_NAMES else 2
    figure.legend(loc="outside right upper", fontsize=8.5, frameon=False, ncols=columns)
    return save_figure(figure, path)


def plot_tuning(result: TuningResult, path: str | Path) -> Path:
    """Draw recall over the window: a line for each generator, the target, and the trials with their intervals."""
    figure = new_figure(8.4, 4.8)
    axes = figure.add_subplot()
    for number, generator in enumerate(dict.fromkeys(point.generator for point in result.points)):
        points = [point for point in result.points if point.generator == generator]
        axes.plot(
            [point.candidate_k for point in points],
            [point.recall for point in points],
            marker=".",
            color=PALETTE[number % len(PALETTE)],
            linewidth=1.3,
            alpha=0.8,
            label=plain(generator),
        )
    axes.axhline(result.recall_target, color="#be123c", linewidth=1.2, linestyle="--", label="target")
    labelled: set[str] = set()
    for trial in result.trials:
        chosen = trial is result.chosen
        label = "chosen" if chosen else f"held out, {'passed' if trial.passed else 'failed'}"
        axes.errorbar(
            trial.candidate_k,
            trial.recall,
            yerr=[[trial.recall - trial.interval.low], [trial.interval.high - trial.recall]],
            fmt="*" if chosen else "o",
            color=INK if trial.passed else "#94a3b8",
            markersize=15 if chosen else 5,
            elinewidth=1.1,
            capsize=3,
            zorder=3,
            label=None if label in labelled else label,
        )
        labelled.add(label)
    axes.set_xscale("log")
    _readable_log_ticks(axes.xaxis)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("candidate_k (logarithmic)")
    axes.set_ylabel(f"recall of the exact top {result.k}")
    axes.set_title(
        f"Lines: {len(result.tuning_query_ids):,} tuning queries; bars: {result.confidence:.0%} intervals of "
        f"{len(result.held_out_query_ids):,} held-out queries",
        loc="left",
        fontsize=10,
        color=INK,
    )
    tidy(axes)
    axes.legend(loc="lower right", fontsize=8.5, frameon=True, framealpha=0.9, edgecolor="none")
    return save_figure(figure, path)


def plot_evaluation(result: EvaluationResult, path: str | Path) -> Path:
    """Draw how latency, recall and each metric are distributed over the queries."""
    panels: list[tuple[str, list[float]]] = [
        ("milliseconds a query", [each.seconds * 1e3 for each in result.queries]),
        (f"recall of the exact top {result.k}", list(result.values(RECALL).values())),
        *((name, list(result.values(name).values())) for name in result.metrics),
    ]
    columns = 2 if len(panels) == 4 else min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.6 * columns, 3.0 * rows + 0.4)
    for number, (name, values) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, number + 1)
        bounds = None if number == 0 else (min(0.0, *values), max(1.0, *values))
        axes.hist(values, bins=20, range=bounds, color=PALETTE[number % len(PALETTE)], edgecolor="white")
        mean = sum(values) / len(values)
        axes.axvline(mean, color=INK, linewidth=1.2, linestyle="--")
        axes.set_xlabel(plain(name))
        axes.set_ylabel("queries")
        axes.set_title(f"mean {mean:.3g}", fontsize=10, loc="left")
        tidy(axes)
    figure.suptitle(plain(f"{result.name} by {result.backend}"), fontsize=11, color=INK)
    return save_figure(figure, path)


def plot_scan_rates(rates: ScanRates, path: str | Path) -> Path:
    """Draw how long one exact scan takes by each backend, beside the machine's limits."""
    shown = sorted(rates.rates, key=lambda each: each.seconds, reverse=True)
    figure = new_figure(8.0, 0.5 * len(shown) + 1.4)
    axes = figure.add_subplot()
    colours = ["#9aa0ab" if each.is_limit else PALETTE[0] for each in shown]
    bars = axes.barh([plain(each.name) for each in shown], [each.seconds * 1e3 for each in shown], color=colours)
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=9)
    axes.set_xlabel("milliseconds (less is better); grey: no exact scan can be faster")
    axes.set_ylabel("backend or limit")
    axes.set_title(
        f"One query of {rates.query_vector_count} vectors over {rates.document_vector_count:,} document vectors × "
        f"{rates.vector_dim}",
        loc="left",
        fontsize=11,
        color=INK,
    )
    tidy(axes)
    return save_figure(figure, path)


def _readable_log_ticks(axis: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
