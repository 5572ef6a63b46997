"""The HNSW index over mean vectors, one for each dimension that the store has had."""

from __future__ import annotations

import kayak
from psycopg import sql

from kayak_pgvector.schema import Tables, lock
from kayak_pgvector.sessions import Session, quoted

MAX_INDEXED_DIM = 2000
MIN_VERSION = (0, 8, 0)

_IS_THERE = """
SELECT am.amname::text, i.indrelid = %s::text::regclass, i.indisvalid
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE n.nspname = %s AND c.relname = %s
"""


def indexed_expression(tables: Tables, dim: int) -> sql.Composed:
    """Return the expression that is indexed: the index wants a dimension, the column has none."""
    return sql.SQL("(mean_vector::{}({}))").format(tables.extension.vector, dim)


def indexed_rows(tables: Tables, dim: int) -> sql.Composed:
    """Return the condition of the rows in the index."""
    return sql.SQL("{}.vector_dims(mean_vector) = {}").format(quoted(tables.extension.schema), dim)


def check_can_index(tables: Tables) -> None:
    """Require a pgvector that goes on scanning where a filter rejects what the index gave.

    Raises:
        StoreSchemaError: it is too old.
    """
    if tables.extension.version < MIN_VERSION:
        have, need = (".".join(map(str, version)) for version in (tables.extension.version, MIN_VERSION))
        raise kayak.StoreSchemaError(
            f"candidates='pooled' needs pgvector {need}, the database has {have}; run ALTER EXTENSION vector UPDATE, "
            "or open the store with candidates='exact'"
        )


def check_dim(dim: int) -> None:
    """Require a dimension that HNSW can index.

    Raises:
        InvalidInputError: it is too large.
    """
    if dim > MAX_INDEXED_DIM:
        raise kayak.InvalidInputError(
            f"the vectors have dimension {dim}, but HNSW indexes at most {MAX_INDEXED_DIM}; open the store with "
            "candidates='exact'"
        )


def ensure_index(session: Session, tables: Tables, dim: int) -> None:
    """Build the index unless it is there; writers wait meanwhile.

    Raises:
        StoreSchemaError: its name is taken.
    """
    name = f"{tables.name}_hnsw_{dim}"
    if _is_there(session, tables, name):
        return
    lock(session, f"index {tables.quoted_name}")
    if _is_there(session, tables, name):
        return
    query = sql.SQL("CREATE INDEX {name} ON {documents} USING hnsw ({expression} {operators}) WHERE {rows}")
    session.execute(
        query.format(
            name=quoted(name),
            documents=tables.documents,
            expression=indexed_expression(tables, dim),
            operators=quoted(tables.extension.schema, "vector_ip_ops"),
            rows=indexed_rows(tables, dim),
        )
    )


def _is_there(session: Session, tables: Tables, name: str) -> bool:
    found = session.rows(_IS_THERE, (tables.quoted_name, tables.schema, name))
    if found and found[0] != ("hnsw", True, True):
        raise kayak.StoreSchemaError(
            f"{sql.Identifier(tables.schema, name).as_string(None)} exists, but is not a valid HNSW index of "
            f"{tables.quoted_name}; drop it (DROP INDEX) or rename it, then open the store again"
        )
    return bool(found)
