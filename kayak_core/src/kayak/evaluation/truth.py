"""The exact result, which recall is measured against."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs
import numpy as np

from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.evaluation.trec import trec_order
from kayak.searching import maxsim_batch
from kayak.values import LateIndex, LateQuery, LateQueryBatch
from kayak.values.coerce import string_tuple

TruthInput = Mapping[str, Sequence[str] | Mapping[str, float]]
"""Query id → its best documents, best first, or their scores."""

TIE_TOLERANCE = 1e-5
"""Scores that differ by less, relative to the k-th, count as equal: executors agree no better than that."""
_BATCH = 32


@attrs.frozen
class ExactTruth:
    """The best documents of each query by exact MaxSim.

    Attributes:
        k: how deep the exact ranking is looked at.
        best: query id → documents whose exact score is at least the k-th, ties with it included.
        sizes: query id → how many of them a perfect ranking holds: `k`, or fewer in a smaller corpus.
    """

    k: int
    best: Mapping[str, frozenset[str]]
    sizes: Mapping[str, int]

    def recall(self, query_id: str, doc_ids: Collection[str]) -> float:
        """Return the share of the exact top k that is among the documents; any of several tied ones counts."""
        size = self.sizes[query_id]
        return min(size, len(self.best[query_id].intersection(doc_ids))) / size


def exact_truth(index: LateIndex, queries: Mapping[str, LateQuery], k: int, backend: str) -> ExactTruth:
    """Score all documents for all queries.

    Raises as `kayak.maxsim`.
    """
    size = min(k, index.document_count)
    ids = list(queries)
    best: dict[str, frozenset[str]] = {}
    for start in range(0, len(ids), _BATCH):
        chunk = ids[start : start + _BATCH]
        batch = LateQueryBatch.from_queries(queries[query_id] for query_id in chunk)
        for query_id, scores in zip(chunk, maxsim_batch(batch, index, backend=backend), strict=True):
            values = scores.values
            kth = float(np.partition(values, len(values) - size)[len(values) - size])
            within = np.flatnonzero(values >= kth - TIE_TOLERANCE * abs(kth))
            best[query_id] = frozenset(index.doc_ids[number] for number in within.tolist())
    return ExactTruth(k, best, dict.fromkeys(ids, size))


def given_truth(truth: TruthInput, queries: Mapping[str, LateQuery], k: int) -> ExactTruth:
    """Take the first `k` documents of rankings that are known already.

    Raises:
        InvalidTypeError: something else than rankings or scores by query id.
        InvalidInputError: a query is missing, or its ranking is empty.
    """
    if not isinstance(truth, Mapping):
        raise InvalidTypeError(
            f"truth must map query ids to rankings, got {type(truth).__name__}; an exact EvaluationResult has .run"
        )
    best: dict[str, frozenset[str]] = {}
    for query_id in queries:
        if query_id not in truth:
            raise InvalidInputError(f"truth has no ranking of query {query_id!r}; give one a query")
        ranking = truth[query_id]
        ordered = trec_order(ranking) if isinstance(ranking, Mapping) else string_tuple(ranking, f"truth[{query_id!r}]")
        if not ordered:
            raise InvalidInputError(f"truth[{query_id!r}] is empty; give the best documents of the query")
        best[query_id] = frozenset(ordered[:k])
    return ExactTruth(k, best, {query_id: len(doc_ids) for query_id, doc_ids in best.items()})
