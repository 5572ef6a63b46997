"""`TuningResult`: which plan was chosen, and what shows that it is good enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from kayak.contracts import SearchPlan
from kayak.evaluation.confidence import ConfidenceInterval
from kayak.evaluation.frames import data_frame
from kayak.evaluation.labels import describe_plan
from kayak.evaluation.results import EvaluationResult
from kayak.evaluation.text_table import TextTable, milliseconds


@attrs.frozen
class TuningPoint:
    """A setting as the tuning queries saw it.

    Attributes:
        generator: the candidate generator, with its budgets.
        candidate_k: size of the window.
        recall: mean recall of the exact top k in the window.
        dot_products_per_query: mean work of the whole plan.
        pareto_optimal: whether no cheaper setting has as much recall; only these went on to the held-out queries.
    """

    generator: str
    candidate_k: int
    recall: float
    dot_products_per_query: float
    pareto_optimal: bool


@attrs.frozen
class HeldOutTrial:
    """A setting as the held-out queries saw it.

    Attributes:
        generator: the candidate generator, with its budgets.
        candidate_k: size of the window.
        recall: mean recall of the exact top k in the plan's hits.
        interval: confidence interval of that mean.
        passed: whether the whole interval lies at or above the target.
    """

    generator: str
    candidate_k: int
    recall: float
    interval: ConfidenceInterval
    passed: bool


@attrs.frozen(eq=False, repr=False)
class TuningResult:
    """The cheapest plan that reaches a recall, or that none does. `print` it for a summary.

    Attributes:
        recall_target: the mean recall asked for.
        k: depth of the exact ranking.
        confidence: of the intervals; a plan below the target is chosen with a probability of at most half of the rest.
        plan: the plan; None where none reached the target.
        backend: executor of the exact stages.
        points: every setting, measured on the tuning queries.
        trials: settings measured on the held-out queries, in the order in which they were tried: most expensive first.
        tuning_query_ids: queries that ordered the settings.
        held_out_query_ids: queries that tested them.
        best_possible: the lower end of the interval if every held-out query had recall 1: no more can be shown.
        evaluation: cost of the plan on the held-out queries; None where none was chosen.
        exact: cost of the exact full scan on the held-out queries.
    """

    recall_target: float
    k: int
    confidence: float
    plan: SearchPlan | None
    backend: str
    points: tuple[TuningPoint, ...]
    trials: tuple[HeldOutTrial, ...]
    tuning_query_ids: tuple[str, ...]
    held_out_query_ids: tuple[str, ...]
    best_possible: float
    evaluation: EvaluationResult | None
    exact: EvaluationResult

    @property
    def reached(self) -> bool:
        """Whether a plan reaches the target."""
        return self.plan is not None

    @property
    def chosen(self) -> HeldOutTrial | None:
        """The trial of the plan: the last that passed. None where none did."""
        return next((trial for trial in reversed(self.trials) if trial.passed), None)

    @property
    def candidate_k(self) -> int | None:
        """Size of the chosen window; None where none was chosen."""
        return None if self.plan is None else self.plan.candidate_k

    @property
    def recall(self) -> float | None:
        """Mean recall of the chosen plan on the held-out queries; None where none was chosen."""
        return None if self.chosen is None else self.chosen.recall

    @property
    def interval(self) -> ConfidenceInterval | None:
        """Confidence interval of that recall; None where none was chosen."""
        return None if self.chosen is None else self.chosen.interval

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "reached": self.reached,
            "plan": None if self.plan is None else describe_plan(self.plan),
            "candidate_k": self.candidate_k,
            "recall": self.recall,
            "interval": None if self.interval is None else [self.interval.low, self.interval.high],
            "recall_target": self.recall_target,
            "confidence": self.confidence,
            "k": self.k,
            "backend": self.backend,
            "best_possible": self.best_possible,
            "tuning_query_count": len(self.tuning_query_ids),
            "held_out_query_count": len(self.held_out_query_ids),
            "points": [attrs.asdict(point) for point in self.points],
            "trials": [attrs.asdict(trial) for trial in self.trials],
            "evaluation": None if self.evaluation is None else self.evaluation.summary(),
            "exact": self.exact.summary(),
        }

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with one row a setting, as the tuning queries saw it.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return data_frame([attrs.asdict(point) for point in self.points])

    def table(self) -> TextTable:
        """Return the trials on the held-out queries as a table; the chosen one is marked."""
        rows = [
            (
                f"{trial.generator} {trial.candidate_k}",
                f"{trial.recall:.3f}",
                str(trial.interval),
                "yes" if trial.passed else "no",
            )
            for trial in self.trials
        ]
        marked = {number for number, trial in enumerate(self.trials) if trial is self.chosen}
        return TextTable(
            ("window", f"recall@{self.k}", f"{self.confidence:.0%} interval", "passed"), rows, frozenset(marked)
        )

    def plot(self, path: str | Path) -> Path:
        """Draw recall over `candidate_k` for each generator, the target, and the trials with their intervals.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            InvalidInputError: the file cannot be written.
        """
        from kayak.evaluation.plots import plot_tuning

        return plot_tuning(self, path)

    def __repr__(self) -> str:
        found = "no plan reaches it" if self.plan is None else f"candidate_k {self.candidate_k}, {self.interval}"
        return f"TuningResult(recall@{self.k} ≥ {self.recall_target:g}: {found})"

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """Return what was found, one sentence a line."""
        queries = f"{len(self.held_out_query_ids):,} held-out queries"
        target = f"recall {self.recall_target:g} of the exact top {self.k}"
        if self.plan is None or self.chosen is None or self.evaluation is None:
            return self._not_reached(target, queries)
        plan, exact = self.evaluation, self.exact
        share = plan.dot_products_per_query / exact.dot_products_per_query
        times = f"{milliseconds(plan.latency.p50)} a query against {milliseconds(exact.latency.p50)}"
        slower = plan.latency.p50 >= exact.latency.p50
        return [
            f"{describe_plan(self.plan)} reaches {target}.",
            f"On {queries} its recall is {self.chosen.recall:.3f}, {self.confidence:.0%} interval "
            f"{self.chosen.interval}.",
            f"It computes {share:.1%} of the dot products of the exact scan, and takes {times} in the median"
            + (": the exact scan is the better plan here." if slower else "."),
        ]

    def _not_reached(self, target: str, queries: str) -> list[str]:
        lines = [f"No plan reaches {target} with {self.confidence:.0%} confidence."]
        if self.trials:
            best = self.trials[0]
            lines.append(
                f"The safest, {best.generator} with a window of {best.candidate_k:,}, has recall {best.recall:.3f} on "
                f"{queries}, interval {best.interval}."
            )
        if self.best_possible < self.recall_target:
            lines.append(
                f"So few queries could not show it even with recall 1 in each (that shows {self.best_possible:.3f}): "
                "give more queries, a lower target or less confidence."
            )
        lines.append("The exact full scan has recall 1: kayak.exact_full_scan_search_plan(k).")
        return lines
