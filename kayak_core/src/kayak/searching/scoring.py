"""Exact MaxSim over an index: scores and rankings, one query or a batch."""

from __future__ import annotations

from kayak.contracts import score_index
from kayak.contracts.search_checks import checked_batch, checked_index, checked_query
from kayak.plugins import find_executor
from kayak.values import LateIndex, LateQuery, LateQueryBatch, LateScores, SearchHit
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.coerce import non_negative_int


def maxsim(query: LateQuery, index: LateIndex, *, backend: str = NUMPY_REFERENCE_BACKEND) -> LateScores:
    """Score every document of an index by exact MaxSim.

    The score of document d for query q is Σ_i max_j ⟨q_i, d_j⟩ (ColBERT, arXiv 2004.12832).

    Args:
        query: the encoded query.
        index: the documents.
        backend: name of the executor; nothing else is used in its place.

    Returns:
        One float32 score a document, in index order.

    Raises:
        InvalidTypeError: not a `LateQuery` or not a `LateIndex`.
        InvalidInputError: query and index differ in dimension.
        UnknownKindError: no such backend.
        BackendUnavailableError: the backend cannot run here; the message says why and what to do.
        ScoreOverflowError: a score left the range of float32.
    """
    return maxsim_batch(LateQueryBatch((checked_query(query),)), index, backend=backend)[0]


def maxsim_batch(
    batch: LateQueryBatch, index: LateIndex, *, backend: str = NUMPY_REFERENCE_BACKEND
) -> tuple[LateScores, ...]:
    """Score every document for each query of a batch, in one pass over the documents.

    Returns and raises as `maxsim`, one result a query.
    """
    values = score_index(find_executor(backend), checked_batch(batch), checked_index(index))
    return tuple(
        LateScores(backend, index.doc_ids, row, query.vector_count)
        for row, query in zip(values, batch.queries, strict=True)
    )


def search(
    query: LateQuery, index: LateIndex, *, k: int, backend: str = NUMPY_REFERENCE_BACKEND
) -> tuple[SearchHit, ...]:
    """Return the `k` best documents by exact MaxSim, best first; equal scores keep index order.

    Raises:
        InvalidTypeError: `k` is no integer; and as `maxsim`.
        InvalidInputError: `k` is negative; and as `maxsim`.
    """
    size = non_negative_int(k, "k")
    return maxsim(query, index, backend=backend).topk(size)


def search_batch(
    batch: LateQueryBatch, index: LateIndex, *, k: int, backend: str = NUMPY_REFERENCE_BACKEND
) -> tuple[tuple[SearchHit, ...], ...]:
    """Return each query's `k` best documents by exact MaxSim, in one pass over the documents.

    Raises as `search`.
    """
    size = non_negative_int(k, "k")
    return tuple(scores.topk(size) for scores in maxsim_batch(batch, index, backend=backend))
