"""What a search may be given."""

from __future__ import annotations

from kayak.contracts.plan import SearchPlan
from kayak.errors import InvalidTypeError
from kayak.values import LateDocuments, LateIndex, LateQuery, LateQueryBatch


def checked_query(query: LateQuery) -> LateQuery:
    """Return the query if it is one.

    Raises:
        InvalidTypeError: it is something else.
    """
    if not isinstance(query, LateQuery):
        raise InvalidTypeError(
            f"expected a LateQuery, got {type(query).__name__}; build one with kayak.query(token_vectors), or encode "
            "text with an encoder's encode_query"
        )
    return query


def checked_batch(batch: LateQueryBatch) -> LateQueryBatch:
    """Return the batch if it is one.

    Raises:
        InvalidTypeError: it is something else.
    """
    if not isinstance(batch, LateQueryBatch):
        raise InvalidTypeError(
            f"expected a LateQueryBatch, got {type(batch).__name__}; build one with kayak.query_batch(queries)"
        )
    return batch


def checked_index(index: LateIndex) -> LateIndex:
    """Return the index if it is one.

    Raises:
        InvalidTypeError: it is something else.
    """
    if isinstance(index, LateIndex):
        return index
    hint = "call .pack() on it" if isinstance(index, LateDocuments) else "a store gives one with load_index()"
    raise InvalidTypeError(f"expected a LateIndex, got {type(index).__name__}; {hint}")


def checked_plan(plan: SearchPlan) -> SearchPlan:
    """Return the plan if it is one.

    Raises:
        InvalidTypeError: it is something else.
    """
    if not isinstance(plan, SearchPlan):
        raise InvalidTypeError(
            f"expected a SearchPlan, got {type(plan).__name__}; make one with kayak.exact_full_scan_search_plan(k)"
        )
    return plan
