"""Reading documents: a plan of pages of bounded size, then one binary COPY a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from operator import methodcaller
from typing import Any

import attrs
import kayak
import numpy as np
from kayak.typing import Int64Vector
from psycopg import sql

from kayak_pgvector.encoding import document_id, document_key
from kayak_pgvector.filters import TRUE, Condition, condition, joined
from kayak_pgvector.schema import Tables
from kayak_pgvector.sessions import Database, Runner, Session
from kayak_pgvector.wire import read_matrices

PAGE_BYTES = 16 * 2**20
"""Bytes of vectors, texts and metadata in a batch; a larger document makes a batch of its own."""

_PLAN = """
SELECT string_agg(int8send(position) || int8send({size}), ''::bytea ORDER BY position) FROM {documents} WHERE {where}
"""
_TEXT_BYTES = "coalesce(octet_length(document_text), 0) + coalesce(octet_length(exact_document_text), 0)"
_METADATA_BYTES = "octet_length(metadata_json)"


@attrs.frozen
class Columns:
    """Which columns to read, beside the ids."""

    vectors: bool = True
    texts: bool = True
    metadata: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which rows carry them."""
        names: tuple[str, ...] = ("doc_id", "exact_doc_id")
        if self.vectors:
            names += ("token_vectors",)
        if self.texts:
            names += ("document_text", "exact_document_text")
        return (*names, "metadata_json") if self.metadata else names

    def size(self, vector_schema: str) -> sql.Composable:
        """Return an expression for the bytes of a document in these columns."""
        parts: list[sql.Composable] = []
        if self.vectors:
            dims = sql.SQL("{}.vector_dims(mean_vector)").format(sql.Identifier(vector_schema))
            parts.append(sql.SQL("token_count::bigint * 4 * {}").format(dims))
        parts += [sql.SQL(_TEXT_BYTES)] * self.texts + [sql.SQL(_METADATA_BYTES)] * self.metadata
        return sql.SQL("({})::bigint").format(sql.SQL(" + ").join(parts))


def selected(doc_ids: tuple[str, ...] | None, where: kayak.Where | None) -> Condition | None:
    """Return the condition for a selection; None for all documents."""
    parts = [] if where is None else [condition(where)]
    if doc_ids is not None:
        keys = [document_key(doc_id)[0] for doc_id in doc_ids]
        parts.append(Condition(sql.SQL("doc_id = ANY (%s)"), (keys,)))
    return joined("AND", parts) if parts else None


class Reader:
    """Reads documents of one store.

    Args:
        database: runs the queries.
        tables: the store's tables.
    """

    def __init__(self, database: Database, tables: Tables) -> None:
        self._database = database
        self._tables = tables

    def batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield documents by position, in batches of about `PAGE_BYTES`, from one state of the database."""
        columns = Columns(texts=selection.texts, metadata=selection.metadata)
        for rows in self._pages(selected(selection.doc_ids, selection.where), columns):
            yield self._documents(rows, columns)

    def metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata by position, from one state of the database."""
        columns = Columns(vectors=False, texts=False)
        for rows in self._pages(selected(selection.doc_ids, selection.where), columns):
            for key, exact, row in rows:
                yield document_id(_text(key) or "", exact), json.loads(row or b"")

    def _pages(self, chosen: Condition | None, columns: Columns) -> Iterator[list[list[bytes | None]]]:
        with self._database.snapshot() as run:
            plan = self._plan(run, chosen or TRUE, columns)
            names = sql.SQL(", ").join(map(sql.Identifier, columns.names))
            for positions in plan:
                # Of all documents a page is a range; of some, a list. Neither holds anything that users wrote.
                where = (
                    sql.SQL("BETWEEN {} AND {}").format(int(positions[0]), int(positions[-1]))
                    if chosen is None
                    else sql.SQL("= ANY ({}::bigint[])").format(positions.tolist())
                )
                query = sql.SQL("SELECT {} FROM {} WHERE position {} ORDER BY position").format(
                    names, self._tables.documents, where
                )
                rows = run(methodcaller("copied_rows", query))
                if rows:
                    yield rows

    def _plan(self, run: Runner, chosen: Condition, columns: Columns) -> list[Int64Vector]:
        """Return the positions of each page."""
        query = sql.SQL(_PLAN).format(
            size=columns.size(self._tables.extension.schema), documents=self._tables.documents, where=chosen.query
        )

        def work(session: Session) -> bytes | None:
            found: bytes | None = session.rows(query, chosen.parameters)[0][0]
            return found

        packed = run(work)
        if packed is None:
            return []
        positions, sizes = np.frombuffer(packed, dtype=">i8").reshape(-1, 2).astype(np.int64).T
        ends = np.cumsum(sizes)
        cuts = []
        start = 0
        while start < len(ends):
            before = int(ends[start] - sizes[start])
            start = max(start + 1, int(np.searchsorted(ends, before + PAGE_BYTES, side="right")))
            cuts.append(start)
        return np.split(positions, cuts[:-1])

    def _documents(self, rows: list[list[bytes | None]], columns: Columns) -> kayak.LateDocuments:
        by_name = dict(zip(columns.names, zip(*rows, strict=True), strict=True))
        keys, exact = map(_text, by_name["doc_id"]), by_name["exact_doc_id"]
        texts: tuple[str | None, ...] | None = None
        if columns.texts:
            pairs = zip(by_name["document_text"], by_name["exact_document_text"], strict=True)
            texts = tuple(_text(plain if plain is not None else bytes_) for plain, bytes_ in pairs)
        metadata = tuple(map(json.loads, by_name["metadata_json"])) if columns.metadata else None
        return kayak.LateDocuments(
            tuple(document_id(key or "", bytes_) for key, bytes_ in zip(keys, exact, strict=True)),
            read_matrices(by_name["token_vectors"], self._database.place),
            None if texts is None or all(text is None for text in texts) else texts,
            metadata,
        )


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode()
