"""Queries with ids: from texts or vectors, from mappings or sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kayak.contracts import LateTextEncoder
from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.retrieval.encoding import encode_query
from kayak.values import LateQuery, LateQueryBatch

QueriesInput = Mapping[str, str | LateQuery] | Sequence[str | LateQuery] | LateQueryBatch
"""Query id → text or encoded query; or a sequence of them, whose ids are their positions, "0", "1", …"""


def encoded_queries(queries: QueriesInput, encoder: LateTextEncoder | None) -> dict[str, LateQuery]:
    """Return query id → encoded query.

    Raises:
        InvalidTypeError: something else than texts and encoded queries, or an id that is no string.
        InvalidInputError: no query, queries of several dimensions, or a text without an encoder.
        EncodingError: a text cannot be encoded; the message names the query.
    """
    given = _by_id(queries)
    if not given:
        raise InvalidInputError("there is no query; give at least one")
    encoded = {query_id: _encoded(query_id, query, encoder) for query_id, query in given.items()}
    dims = {query.vector_dim: query_id for query_id, query in encoded.items()}
    if len(dims) > 1:
        (one, first), (other, second), *_ = dims.items()
        raise InvalidInputError(
            f"query {first!r} has dimension {one}, but query {second!r} has {other}; encode all with one encoder"
        )
    return encoded


def _by_id(queries: QueriesInput) -> dict[str, str | LateQuery]:
    if isinstance(queries, Mapping):
        for query_id in queries:
            if not isinstance(query_id, str) or not query_id:
                raise InvalidTypeError(f"query ids must be non-empty strings, got {query_id!r:.60}")
        return dict(queries)
    if isinstance(queries, LateQueryBatch):
        queries = queries.queries
    if isinstance(queries, (str, bytes, LateQuery)) or not isinstance(queries, Sequence):
        raise InvalidTypeError(
            f"queries must map query ids to texts or encoded queries, or be a sequence of them, got "
            f"{type(queries).__name__}"
        )
    return {str(position): query for position, query in enumerate(queries)}


def _encoded(query_id: str, query: str | LateQuery, encoder: LateTextEncoder | None) -> LateQuery:
    if isinstance(query, LateQuery):
        return query
    if not isinstance(query, str):
        raise InvalidTypeError(f"query {query_id!r} must be a text or a LateQuery, got {type(query).__name__}")
    if encoder is None:
        raise InvalidInputError(
            f"query {query_id!r} is a text, and a corpus of vectors has no encoder; pass encoder=, or encoded queries"
        )
    return encode_query(encoder, query)
