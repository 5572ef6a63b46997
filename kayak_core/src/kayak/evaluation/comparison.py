"""`PlanComparison`: results side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from kayak.errors import InvalidInputError
from kayak.evaluation.frames import data_frame
from kayak.evaluation.results import EvaluationResult
from kayak.evaluation.text_table import TextTable, bytes_text, milliseconds


@attrs.frozen(eq=False, repr=False)
class PlanComparison:
    """Results of several plans and backends over the same queries. `print` it for a table.

    Attributes:
        results: one a plan and backend, in the order in which they were named.
    """

    results: tuple[EvaluationResult, ...]

    @property
    def k(self) -> int:
        """Depth of the exact ranking that recall is measured against."""
        return self.results[0].k

    @property
    def pareto_front(self) -> tuple[EvaluationResult, ...]:
        """Results that no other beats: none is at least as good in both recall and median latency, better in one.

        Fastest first.
        """
        front = [each for each in self.results if not any(_dominates(other, each) for other in self.results)]
        return tuple(sorted(front, key=lambda each: (each.latency.p50, -each.recall.final)))

    def __getitem__(self, name: str) -> EvaluationResult:
        """Return the result of a name.

        Raises:
            InvalidInputError: there is none.
        """
        for each in self.results:
            if each.name == name:
                return each
        raise InvalidInputError(
            f"no result is called {name!r}; there are {', '.join(repr(each.name) for each in self.results)}"
        )

    def __iter__(self) -> Iterator[EvaluationResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the means of all results as plain JSON values; each result's `to_dict()` has the queries."""
        front = {each.name for each in self.pareto_front}
        return {
            "k": self.k,
            "query_count": len(self.results[0].queries),
            "results": [{**each.summary(), "pareto_optimal": each.name in front} for each in self.results],
        }

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with one row a result.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        rows = []
        for row in self.to_dict()["results"]:
            metrics, recall, latency = row.pop("metrics"), row.pop("recall"), row.pop("latency_seconds")
            rows.append(
                {
                    "name": row.pop("name"),
                    "backend": row.pop("backend"),
                    **metrics,
                    **{f"recall_{stage}": recall[stage] for stage in ("candidates", "reference", "final")},
                    **{f"latency_{name}_seconds": value for name, value in latency.items()},
                    **row,
                }
            )
        return data_frame(rows)

    def table(self) -> TextTable:
        """Return the comparison as a table; rows on the Pareto front are marked."""
        front = {each.name for each in self.pareto_front}
        metrics = list(self.results[0].metrics)
        several = len({each.backend for each in self.results}) > 1
        backend = ("backend",) if several else ()
        headings = ("plan", *backend, f"recall@{self.k}", *metrics, "p50", "p90", "p99", "products", "read", "front")
        rows = [
            (
                each.plan_name if several else each.name,
                *((each.backend,) if several else ()),
                f"{each.recall.final:.3f}",
                *(f"{each.metrics[name]:.3f}" for name in metrics),
                *(milliseconds(value) for value in (each.latency.p50, each.latency.p90, each.latency.p99)),
                f"{each.dot_products_per_query:,.0f}",
                bytes_text(each.bytes_per_query),
                "*" if each.name in front else "",
            )
            for each in self.results
        ]
        return TextTable(
            headings, rows, frozenset(number for number, each in enumerate(self.results) if each.name in front)
        )

    def plot(self, path: str | Path) -> Path:
        """Draw recall over median latency, with the Pareto front, into a file.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            InvalidInputError: the file cannot be written.
        """
        from kayak.evaluation.plots import plot_comparison

        return plot_comparison(self, path)

    def __repr__(self) -> str:
        return f"PlanComparison({len(self.results)} results over {len(self.results[0].queries)} queries)"

    def __str__(self) -> str:
        first = self.results[0]
        head = (
            f"{len(first.queries):,} queries over {first.document_count:,} documents; mean dot products and bytes a "
            "query, its time without encoding (* no other is both faster and better)"
        )
        return f"{head}\n{self.table()}"

    def __rich__(self) -> Any:
        return self.table().rich()


def _dominates(one: EvaluationResult, other: EvaluationResult) -> bool:
    a, b = (one.recall.final, -one.latency.p50), (other.recall.final, -other.latency.p50)
    return a != b and a[0] >= b[0] and a[1] >= b[1]
