"""Candidates chosen inside PostgreSQL: exact MaxSim, or the dot product of mean vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import kayak
import numpy as np
from kayak.typing import Float32Matrix
from psycopg import sql

from kayak_pgvector.encoding import document_id
from kayak_pgvector.filters import TRUE, Condition
from kayak_pgvector.pooled_index import indexed_expression, indexed_rows
from kayak_pgvector.reading import selected
from kayak_pgvector.schema import Tables
from kayak_pgvector.sessions import Session
from kayak_pgvector.wire import VectorValue
from kayak_pgvector.writing import mean_vector

QUERY_VECTORS_AT_A_TIME = 256
"""Aggregates in one list of columns; PostgreSQL takes at most 1,664."""

FLAT_LIMIT = 10_000
"""Documents that are compared one by one rather than through the index."""

MAX_EF_SEARCH = 1000
MIN_EF_SEARCH = 100

_EXACT = """
SELECT d.doc_id, d.exact_doc_id, {total} AS score FROM {documents} AS d {parts} WHERE {where}
ORDER BY score DESC, d.position LIMIT %s
"""
_PART = """
CROSS JOIN LATERAL (SELECT {sums} AS score FROM unnest(d.token_vectors) AS t(token)) AS {name}
"""
_POOLED = "SELECT doc_id, exact_doc_id, -({mean} {operator} %s) AS score FROM {documents} WHERE {where}"
_COUNT = "SELECT count(*) FROM (SELECT FROM {documents} WHERE {where} LIMIT %s) AS bounded"
_SETTINGS = (
    ("hnsw.iterative_scan", "relaxed_order"),
    ("hnsw.max_scan_tuples", "2147483647"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
)


def exact_candidates(session: Session, tables: Tables, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
    """Return the best documents by exact MaxSim, computed in one SQL statement over all that are selected."""
    chosen = selected(search.doc_ids, search.where) or TRUE
    _set(session, (("jit", "off"),))  # compiling costs more than it saves
    counted = session.rows(
        sql.SQL("SELECT coalesce(sum(token_count), 0)::bigint FROM {documents} WHERE {where}").format(
            documents=tables.documents, where=chosen.query
        ),
        chosen.parameters,
    )
    portions = list(_portions(search.vectors))
    operator = tables.extension.negative_inner_product
    names = [sql.Identifier(f"part{number}") for number in range(len(portions))]
    parts = [
        sql.SQL(_PART).format(sums=_sum_of_best(len(portion), operator), name=name)
        for name, portion in zip(names, portions, strict=True)
    ]
    query = sql.SQL(_EXACT).format(
        total=sql.SQL(" + ").join(sql.SQL("{}.score").format(name) for name in names),
        documents=tables.documents,
        parts=sql.SQL(" ").join(parts),
        where=chosen.query,
    )
    vectors = [VectorValue(vector) for vector in search.vectors]
    rows = session.rows(query, (*vectors, *chosen.parameters, search.k))
    return _found(rows, int(counted[0][0]), "exact MaxSim in SQL")


def pooled_candidates(session: Session, tables: Tables, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
    """Return the documents whose mean vector has the largest dot product with the query's mean vector.

    Through the HNSW index, or one by one where few documents are selected or the index gives too few.
    """
    chosen = selected(search.doc_ids, search.where)
    count = None if search.doc_ids is not None else _count(session, tables, chosen or TRUE)
    if count is not None and count > FLAT_LIMIT:
        found = _indexed(session, tables, search, chosen or TRUE)
        if len(found.doc_ids) == search.k:
            return found
    return _flat(session, tables, search, chosen or TRUE)


def _indexed(
    session: Session, tables: Tables, search: kayak.CandidateSearch, chosen: Condition
) -> kayak.FoundCandidates:
    dim = search.vectors.shape[1]
    breadth = min(MAX_EF_SEARCH, max(MIN_EF_SEARCH, 2 * search.k))
    _set(session, (*_SETTINGS, ("hnsw.ef_search", str(breadth))))
    where = Condition(sql.SQL("{} AND {}").format(indexed_rows(tables, dim), chosen.query), chosen.parameters)
    rows = _pooled(session, tables, search, where, indexed_expression(tables, dim))
    return _found(rows, 0, f"mean vectors through the HNSW index (ef_search {breadth})")


def _flat(session: Session, tables: Tables, search: kayak.CandidateSearch, chosen: Condition) -> kayak.FoundCandidates:
    _set(session, (("enable_seqscan", "on"), ("enable_bitmapscan", "on"), ("enable_sort", "on"), ("jit", "off")))
    compared = session.rows(
        sql.SQL("SELECT count(*) FROM {documents} WHERE {where}").format(
            documents=tables.documents, where=chosen.query
        ),
        chosen.parameters,
    )
    rows = _pooled(session, tables, search, chosen, sql.SQL("mean_vector"))
    return _found(rows, int(compared[0][0]), "mean vectors compared one by one, without the index")


def _pooled(
    session: Session, tables: Tables, search: kayak.CandidateSearch, chosen: Condition, mean: sql.Composable
) -> list[tuple[Any, ...]]:
    operator = tables.extension.negative_inner_product
    query = sql.SQL(_POOLED + " ORDER BY {mean} {operator} %s LIMIT %s").format(
        mean=mean, operator=operator, documents=tables.documents, where=chosen.query
    )
    vector = VectorValue(mean_vector(search.vectors))
    rows = session.rows(query, (vector, *chosen.parameters, vector, search.k))
    return sorted(rows, key=lambda row: -row[2])  # a relaxed scan is nearly in order


def _count(session: Session, tables: Tables, chosen: Condition) -> int:
    """Count the selected documents, up to one more than `FLAT_LIMIT`."""
    query = sql.SQL(_COUNT).format(documents=tables.documents, where=chosen.query)
    return int(session.rows(query, (*chosen.parameters, FLAT_LIMIT + 1))[0][0])


def _set(session: Session, settings: Sequence[tuple[str, str]]) -> None:
    """Change settings for the transaction, which is rolled back, and the settings with it."""
    for name, value in settings:
        session.rows("SELECT set_config(%s, %s, true)", (name, value))


def _portions(vectors: Float32Matrix) -> Iterator[Float32Matrix]:
    for start in range(0, len(vectors), QUERY_VECTORS_AT_A_TIME):
        yield vectors[start : start + QUERY_VECTORS_AT_A_TIME]


def _sum_of_best(count: int, operator: sql.Composed) -> sql.Composed:
    """Return the expression for MaxSim: one aggregate a query vector is four times as fast as grouping by vector."""
    best = sql.SQL("min(token {} %s)").format(operator)
    return sql.SQL("-({})").format(sql.SQL(" + ").join([best] * count))


def _found(rows: list[tuple[Any, ...]], compared: int, note: str) -> kayak.FoundCandidates:
    scores = np.array([row[2] for row in rows], dtype=np.float64)
    if not np.isfinite(scores).all():
        raise kayak.ScoreOverflowError(
            "dot products left the range of float32, so the candidates have no order; scale the vectors down"
        )
    ids = tuple(document_id(row[0], row[1]) for row in rows)
    size = sum(len(row[0]) + len(row[1] or b"") + 8 for row in rows)
    return kayak.FoundCandidates(ids, scores, document_vector_count=compared, bytes_read=size, notes=(note,))
