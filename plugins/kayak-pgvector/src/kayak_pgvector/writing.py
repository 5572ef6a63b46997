"""Writing and deleting documents, each call in one transaction.

Rows are locked in the order of their keys, and the state row last, so that writers wait for each other and never in a
circle. The state row carries the generation and the dimension.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector
from psycopg import sql

from kayak_pgvector.encoding import document_key, filter_json, text_columns
from kayak_pgvector.postings import Postings
from kayak_pgvector.schema import Tables
from kayak_pgvector.sessions import Session
from kayak_pgvector.wire import VectorArray, VectorValue, array_byte_size

BATCH_BYTES = 16 * 2**20
MAX_VECTOR_DIM = 16_000
MAX_DOCUMENT_BYTES = 1_000_000_000
"""PostgreSQL keeps a value, and carries a row, of up to 1 GiB."""

_COLUMNS = (
    *("doc_id", "exact_doc_id", "token_count", "document_text", "exact_document_text"),
    *("metadata_json", "metadata", "mean_vector", "token_vectors"),
)
_UPSERT = """
INSERT INTO {documents} (position, {columns}) VALUES (%s, {values}) ON CONFLICT (doc_id) DO UPDATE SET {replacements}
"""
_DELETE = """
DELETE FROM {documents}
WHERE doc_id IN (SELECT doc_id FROM {documents} WHERE doc_id = ANY (%s) ORDER BY doc_id FOR UPDATE) RETURNING position
"""
_POSITIONS = "SELECT nextval(pg_get_serial_sequence(%s, 'position')::regclass) FROM generate_series(1, %s)"


class Writer:
    """Writes to the tables of one store, inside transactions that the caller begins.

    Args:
        tables: the store's tables.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._state = tables.state
        self._postings = Postings(tables)
        self._upsert = sql.SQL(_UPSERT).format(
            documents=tables.documents,
            columns=sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)),
            values=sql.SQL(", ").join([sql.SQL("%s")] * len(_COLUMNS)),
            replacements=sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in _COLUMNS
            ),
        )

    def upsert(self, session: Session, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert documents, or replace those whose ids are known.

        Raises:
            InvalidInputError: the store holds another dimension.
        """
        reserved = session.rows(_POSITIONS, (self._tables.quoted_name, len(rows)))
        keyed = sorted(
            (
                (*document_key(row.doc_id), position, row)
                for row, (position,) in zip(rows, sorted(reserved), strict=True)
            ),
            key=lambda item: item[0],
        )
        places = {row.doc_id: (position, key, exact) for key, exact, position, row in keyed}
        for batch in kayak.row_batches((item[-1] for item in keyed), max_bytes=BATCH_BYTES):
            session.execute_many(self._upsert, (_values(*places[row.doc_id], row) for row in batch))
        dim = rows[0].vectors.shape[1]
        known = self._locked_dim(session)
        if known is not None and known != dim:
            raise kayak.InvalidInputError(
                f"document {rows[0].doc_id!r} has vectors of dimension {dim}, but the store holds dimension {known}; "
                "one store holds one dimension: encode with the same encoder, or use another store"
            )
        self._postings.written(session, [item[0] for item in keyed])
        self._change(session, dim)

    def delete(self, session: Session, doc_ids: Sequence[str]) -> None:
        """Delete documents; unknown ids are no error."""
        keys = [document_key(doc_id)[0] for doc_id in doc_ids]
        deleted = session.rows(sql.SQL(_DELETE).format(documents=self._tables.documents), (keys,))
        if not deleted:
            return
        dim = self._locked_dim(session)
        self._postings.deleted(session, [position for (position,) in deleted])
        rest = session.rows(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(self._tables.documents))
        self._change(session, dim if rest[0][0] else None)  # an empty store takes any dimension

    def _locked_dim(self, session: Session) -> int | None:
        """Lock the state row until the transaction ends, and return the dimension that it tells."""
        rows = session.rows(sql.SQL("SELECT vector_dim FROM {} FOR UPDATE").format(self._state))
        dim: int | None = rows[0][0]
        return dim

    def _change(self, session: Session, dim: int | None) -> None:
        session.execute(
            sql.SQL("UPDATE {} SET generation = generation + 1, vector_dim = %s").format(self._state), (dim,)
        )


def check_limits(rows: Iterable[kayak.StoredDocument]) -> None:
    """Refuse what PostgreSQL or pgvector cannot hold, before anything is written.

    Raises:
        InvalidInputError: a document has too many dimensions or bytes.
    """
    for row in rows:
        count, dim = row.vectors.shape
        if dim > MAX_VECTOR_DIM:
            raise kayak.InvalidInputError(
                f"document {row.doc_id!r} has vectors of dimension {dim}, but pgvector holds at most {MAX_VECTOR_DIM}"
            )
        size = array_byte_size(count, dim) + len(row.text or "") + 4 * dim
        if size > MAX_DOCUMENT_BYTES:
            raise kayak.InvalidInputError(
                f"document {row.doc_id!r} needs {size:,} bytes, but PostgreSQL holds at most "
                f"{MAX_DOCUMENT_BYTES:,} in a row; split the document into passages"
            )


def mean_vector(matrix: Float32Matrix) -> Float32Vector:
    """Return the mean of token vectors, not renormalised, float32 of shape (dimension,)."""
    return np.asarray(np.mean(matrix, axis=0, dtype=np.float64), dtype=np.float32)


def _values(position: int, key: str, exact: bytes | None, row: kayak.StoredDocument) -> tuple[Any, ...]:
    text, exact_text = text_columns(row.text)
    return (
        position,
        key,
        exact,
        row.vectors.shape[0],
        text,
        exact_text,
        kayak.metadata_json(row.metadata),
        filter_json(row.metadata),
        VectorValue(mean_vector(row.vectors)),
        VectorArray(row.vectors),
    )
