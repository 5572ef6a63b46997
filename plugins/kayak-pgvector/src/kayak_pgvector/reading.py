"""Reading documents: a plan of pages of bounded size, then one binary COPY a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import chain
from operator import methodcaller
from typing import Any, TypeAlias, TypeVar

import attrs
import kayak
import numpy as np
from kayak.typing import Int64Vector
from psycopg import sql

from kayak_pgvector.encoding import document_id, document_key
from kayak_pgvector.filters import TRUE, Condition, condition, joined
from kayak_pgvector.schema import Tables
from kayak_pgvector.sessions import Database, Runner, Session, quoted
from kayak_pgvector.wire import BlockBuilder

_Rows: TypeAlias = Iterable[list[memoryview | None]]
_Page = TypeVar("_Page")

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
            dims = sql.SQL("{}.vector_dims(mean_vector)").format(quoted(vector_schema))
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

        def read(rows: _Rows, byte_size: int) -> kayak.LateDocuments | None:
            return _documents(rows, columns, BlockBuilder(byte_size, self._database.place))

        return self._pages(selection, columns, read)

    def metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata by position, from one state of the database."""

        def read(rows: _Rows, _byte_size: int) -> list[tuple[str, Mapping[str, Any]]]:
            return [(_doc_id(key, exact), _json(row)) for key, exact, row in rows]

        return chain.from_iterable(self._pages(selection, Columns(vectors=False, texts=False), read))

    def _pages(
        self, selection: kayak.StoreSelection, columns: Columns, read: Callable[[_Rows, int], _Page | None]
    ) -> Iterator[_Page]:
        """Yield what `read` makes of the rows of each page, except for nothing."""
        chosen = selected(selection.doc_ids, selection.where)
        names = sql.SQL(", ").join(map(sql.Identifier, columns.names))
        with self._database.snapshot() as run:
            for positions, byte_size in self._plan(run, chosen or TRUE, columns):
                # Of all documents a page is a range; of some, a list. Neither holds anything that users wrote.
                where = (
                    sql.SQL("BETWEEN {} AND {}").format(int(positions[0]), int(positions[-1]))
                    if chosen is None
                    else sql.SQL("= ANY ({}::bigint[])").format(positions.tolist())
                )
                query = sql.SQL("SELECT {} FROM {} WHERE position {} ORDER BY position").format(
                    names, self._tables.documents, where
                )
                page = run(partial(_read_page, query, read, byte_size))
                if page:
                    yield page

    def _plan(self, run: Runner, chosen: Condition, columns: Columns) -> list[tuple[Int64Vector, int]]:
        """Return the positions and the bytes of each page."""
        query = sql.SQL(_PLAN).format(
            size=columns.size(self._tables.extension.schema), documents=self._tables.documents, where=chosen.query
        )
        packed = run(methodcaller("rows", query, chosen.parameters))[0][0]
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
        totals = np.diff(ends[np.array(cuts) - 1], prepend=0)
        return list(zip(np.split(positions, cuts[:-1]), totals.tolist(), strict=True))


def _read_page(query: sql.Composed, read: Callable[[_Rows, int], _Page], byte_size: int, session: Session) -> _Page:
    with closing(session.copied_rows(query)) as rows:  # a COPY must end before the connection does anything else
        return read(rows, byte_size)


def _documents(rows: _Rows, columns: Columns, vectors: BlockBuilder) -> kayak.LateDocuments | None:
    """Return rows as a batch, or None where there are none; each is converted while the next is on its way."""
    ids: list[str] = []
    texts: list[str | None] = []
    metadata: list[Mapping[str, Any]] = []
    for row in rows:
        fields = iter(row)
        ids.append(_doc_id(next(fields), next(fields)))
        vectors.add(next(fields))
        if columns.texts:
            plain, exact_text = next(fields), next(fields)
            texts.append(_text(exact_text if plain is None else plain))
        if columns.metadata:
            metadata.append(_json(next(fields)))
    block = vectors.block()
    if block is None:
        return None
    return kayak.LateDocuments(
        tuple(ids),
        block,
        tuple(texts) if any(text is not None for text in texts) else None,
        tuple(metadata) if columns.metadata else None,
    )


def _doc_id(key: memoryview | None, exact: memoryview | None) -> str:
    return document_id(_text(key) or "", None if exact is None else bytes(exact))


def _text(data: memoryview | None) -> str | None:
    return None if data is None else str(data, "utf-8")


def _json(data: memoryview | None) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(bytes(data or b""))
    return row
