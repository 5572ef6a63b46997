"""`EvaluationResult`: what one plan did, query by query and in the mean."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from kayak.contracts import SearchPlan
from kayak.errors import InvalidInputError
from kayak.evaluation.frames import data_frame
from kayak.evaluation.labels import describe_plan
from kayak.evaluation.significance import SignificanceTest, paired_permutation_test
from kayak.evaluation.text_table import bytes_text, milliseconds
from kayak.values import SearchHit

RECALL = "recall"
"""Names the recall against the exact scan beside the metrics."""


@attrs.frozen
class StageRecall:
    """Share of the exact top k that is left after each stage.

    Attributes:
        candidates: in the candidate window of stage 1; bounds everything behind it.
        reference: in the first k by stage 2's scores.
        final: in the hits that the plan returned.
    """

    candidates: float
    reference: float
    final: float


@attrs.frozen
class LatencySummary:
    """Wall time of one query, in seconds, over all queries.

    Attributes:
        mean: arithmetic mean.
        p50: median.
        p90: ninth decile.
        p99: 99th percentile.
    """

    mean: float
    p50: float
    p90: float
    p99: float


@attrs.frozen
class QueryMeasurement:
    """What a plan did for one query.

    Attributes:
        query_id: the query.
        hits: what the plan returned, best first.
        metrics: metric → value; empty where the query has no judgement.
        recall: recall against the exact scan, stage by stage.
        seconds: wall time, the median where the query was repeated.
        query_vector_count: number of the query's token vectors.
        document_vector_count: document vectors that all stages scored together.
        dot_product_count: query vectors times document vectors, summed over the stages.
        bytes_read: bytes of vectors and texts that all stages read together.
    """

    query_id: str
    hits: tuple[SearchHit, ...]
    metrics: Mapping[str, float]
    recall: StageRecall
    seconds: float
    query_vector_count: int
    document_vector_count: int
    dot_product_count: int
    bytes_read: int


@attrs.frozen(eq=False, repr=False, slots=False)
class EvaluationResult:
    """What one plan costs and what it loses. `print` it for a summary.

    Attributes:
        name: what the plan is called in tables and plots.
        plan: the plan.
        backend: executor of its exact stages.
        k: depth of the exact ranking that recall is measured against.
        queries: one measurement a query, in query order.
        document_count: documents in the corpus.
        preparation_seconds: time that building what is computed once for the whole index took; in no query's time.
        load_seconds: time that loading the slice from a store took; in no query's time.
    """

    name: str
    plan: SearchPlan
    backend: str
    k: int
    queries: tuple[QueryMeasurement, ...]
    document_count: int
    preparation_seconds: float = 0.0
    load_seconds: float = 0.0

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Metric → mean over the judged queries; empty without judgements."""
        judged = [each.metrics for each in self.queries if each.metrics]
        return {name: float(np.mean([each[name] for each in judged])) for name in (judged[0] if judged else ())}

    @property
    def plan_name(self) -> str:
        """The name without the backend, which a comparison of several backends adds to it."""
        return self.name.removesuffix(f" · {self.backend}")

    @property
    def judged_query_count(self) -> int:
        """Number of queries that the means of the metrics are taken over."""
        return sum(bool(each.metrics) for each in self.queries)

    @cached_property
    def recall(self) -> StageRecall:
        """Mean recall against the exact scan, stage by stage."""
        values = np.mean([attrs.astuple(each.recall) for each in self.queries], axis=0)
        return StageRecall(*values.tolist())

    @cached_property
    def latency(self) -> LatencySummary:
        """Wall time of one query, encoding not included."""
        seconds = [each.seconds for each in self.queries]
        p50, p90, p99 = np.percentile(seconds, [50, 90, 99]).tolist()
        return LatencySummary(float(np.mean(seconds)), p50, p90, p99)

    @property
    def vectors_per_query(self) -> float:
        """Document vectors scored for one query, in the mean."""
        return float(np.mean([each.document_vector_count for each in self.queries]))

    @property
    def dot_products_per_query(self) -> float:
        """Dot products computed for one query, in the mean: the work, whatever the machine."""
        return float(np.mean([each.dot_product_count for each in self.queries]))

    @property
    def bytes_per_query(self) -> float:
        """Bytes of vectors and texts read for one query, in the mean."""
        return float(np.mean([each.bytes_read for each in self.queries]))

    @property
    def run(self) -> dict[str, dict[str, float]]:
        """Query id → document id → score; `kayak.write_trec_run` writes it."""
        return {each.query_id: {hit.doc_id: hit.score for hit in each.hits} for each in self.queries}

    def values(self, metric: str) -> dict[str, float]:
        """Return query id → value of a metric, or of "recall", for the queries that have it.

        Raises:
            InvalidInputError: the metric was not measured.
        """
        if metric == RECALL:
            return {each.query_id: each.recall.final for each in self.queries}
        self._check_metric(metric)
        return {each.query_id: each.metrics[metric] for each in self.queries if each.metrics}

    def compare(
        self, other: EvaluationResult, metric: str | None = None, *, resamples: int = 9_999
    ) -> SignificanceTest:
        """Test whether the difference to another result over the same queries may be chance.

        A two-sided paired permutation test on the difference of the means, which Smucker, Allan and Carterette (CIKM
        2007, https://doi.org/10.1145/1321440.1321528) recommend for retrieval.

        Args:
            other: a result over the same queries.
            metric: a metric that both have, or "recall"; the first metric, or recall without judgements, unless given.
            resamples: random permutations; all of them where there are no more.

        Raises:
            InvalidTypeError: `other` is no result.
            InvalidInputError: the queries differ, or a result lacks the metric.
            MissingDependencyError: scipy is not installed.
        """
        chosen = metric or next(iter(self.metrics), RECALL)
        return paired_permutation_test(self, other, chosen, resamples)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            **self.summary(),
            "query_count": len(self.queries),
            "judged_query_count": self.judged_query_count,
            "queries": [{**_row(each), "hits": [attrs.asdict(hit) for hit in each.hits]} for each in self.queries],
        }

    def summary(self) -> dict[str, Any]:
        """Return the means as plain JSON values, without the queries."""
        return {
            "name": self.name,
            "plan": describe_plan(self.plan),
            "backend": self.backend,
            "final_k": self.plan.final_k,
            "candidate_k": self.plan.candidate_k,
            "document_count": self.document_count,
            "metrics": dict(self.metrics),
            "recall": {"k": self.k, **attrs.asdict(self.recall)},
            "latency_seconds": attrs.asdict(self.latency),
            "vectors_per_query": self.vectors_per_query,
            "dot_products_per_query": self.dot_products_per_query,
            "bytes_per_query": self.bytes_per_query,
            "preparation_seconds": self.preparation_seconds,
            "load_seconds": self.load_seconds,
        }

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame with one row a query.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return data_frame([_flat(each) for each in self.queries])

    def plot(self, path: str | Path) -> Path:
        """Draw the distributions over the queries of latency, recall and each metric into a file.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            InvalidInputError: the file cannot be written.
        """
        from kayak.evaluation.plots import plot_evaluation

        return plot_evaluation(self, path)

    def __repr__(self) -> str:
        shown = "".join(f", {name} {value:.3f}" for name, value in self.metrics.items())
        return (
            f"EvaluationResult({self.name!r}, {len(self.queries)} queries, recall@{self.k} {self.recall.final:.3f}"
            f"{shown}, p50 {milliseconds(self.latency.p50)})"
        )

    def __str__(self) -> str:
        recall, latency = self.recall, self.latency
        lines = [
            f"{self.name} by {self.backend}: {len(self.queries):,} queries over {self.document_count:,} documents",
            f"  plan      {describe_plan(self.plan)}",
        ]
        if self.metrics:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
            lines.append(f"  metrics   {shown} (mean of {self.judged_query_count:,} judged queries)")
        lines += [
            f"  recall    of the exact top {self.k}: {recall.candidates:.4f} in the window of "
            f"{min(self.plan.candidate_k, self.document_count):,}, {recall.reference:.4f} after stage 2, "
            f"{recall.final:.4f} at the end",
            f"  latency   p50 {milliseconds(latency.p50)}, p90 {milliseconds(latency.p90)}, "
            f"p99 {milliseconds(latency.p99)} a query, encoding not included",
            f"  touched   {self.vectors_per_query:,.0f} document vectors, {self.dot_products_per_query:,.0f} dot "
            f"products, {bytes_text(self.bytes_per_query)} a query",
        ]
        if self.preparation_seconds or self.load_seconds:
            lines.append(
                f"  once      {milliseconds(self.preparation_seconds)} to prepare, "
                f"{milliseconds(self.load_seconds)} to load"
            )
        return "\n".join(lines)

    def _check_metric(self, metric: str) -> None:
        if metric not in self.metrics:
            raise InvalidInputError(
                f"{self.name!r} has no metric {metric!r}; it has {', '.join([*self.metrics, RECALL])}"
            )


def _row(each: QueryMeasurement) -> dict[str, Any]:
    return attrs.asdict(each, filter=lambda attribute, _: attribute.name != "hits")


def _flat(each: QueryMeasurement) -> dict[str, Any]:
    row = _row(each)
    metrics, recall = row.pop("metrics"), row.pop("recall")
    return {
        "query_id": row.pop("query_id"),
        **metrics,
        **{f"recall_{stage}": value for stage, value in recall.items()},
        **row,
    }
