"""`PgvectorLateStore`: documents in a table of PostgreSQL, their token vectors in pgvector's types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import kayak
from kayak.typing import DocIdsInput, MetadataFilterInput
from psycopg import sql

from kayak_pgvector.candidates import exact_candidates, pooled_candidates
from kayak_pgvector.encoding import is_storable
from kayak_pgvector.filters import PUSHED_DOWN, can_translate
from kayak_pgvector.pooled_index import check_can_index, check_dim, ensure_index
from kayak_pgvector.postings_engine import PostgresPostings
from kayak_pgvector.reading import Reader
from kayak_pgvector.schema import (
    MAX_NAME_BYTES,
    MAX_TABLE_NAME_BYTES,
    Tables,
    check_name,
    require_extension,
    require_tables,
)
from kayak_pgvector.sessions import Database, Session
from kayak_pgvector.sources import AnyConnection, ConnectionPool, connection_source
from kayak_pgvector.wire import default_adapters, vector_adapters
from kayak_pgvector.writing import Writer, check_limits

_STATS = """
SELECT count(*), coalesce(sum(token_count), 0)::bigint,
       EXISTS (SELECT FROM {documents} WHERE document_text IS NOT NULL OR exact_document_text IS NOT NULL),
       EXISTS (SELECT FROM {documents} WHERE metadata_json <> '{{}}'),
       pg_total_relation_size(%s::regclass)
FROM {documents}
"""


class PgvectorLateStore(kayak.PostingsDatabaseStore):
    """Keeps documents in a table of a PostgreSQL database with the pgvector extension.

    The table is created when the store is opened and there is none. An upsert or a deletion is one transaction. Every
    method may be called from any number of threads.

    Args:
        dsn: a libpq connection string or URL; the store then opens and closes its own connections.
        connection: a `psycopg.Connection` to use instead. It stays yours: it is never closed, its settings and type
            adapters stay as they are, and in a transaction of yours the store's work is part of that transaction.
        pool: a `psycopg_pool.ConnectionPool` to use instead; it stays yours too.
        table_name: the table of documents; a second one, with `_kayak` appended, keeps the store's state.
        schema_name: the schema of both, which must exist.
        ensure_extension: whether to run `CREATE EXTENSION vector` where it is missing.
        candidates: how `search_candidates` chooses: "exact" computes MaxSim in SQL; "pooled" compares mean vectors
            through an HNSW index, which opening the store builds where it is missing.

    Raises:
        InvalidTypeError: an argument has the wrong type.
        InvalidInputError: an argument is malformed, or not exactly one of `dsn`, `connection` and `pool` is given.
        StoreUnavailableError: the server cannot be reached.
        StoreAccessError: it refuses the login, or the role may not create what is missing.
        StoreSchemaError: the extension or the schema is missing, or a table of that name is not a Kayak store.
        StoreVersionError: a later version of this package made the table.
    """

    kind: ClassVar[str] = "pgvector"

    def __init__(
        self,
        *,
        dsn: str | None = None,
        connection: AnyConnection | None = None,
        pool: ConnectionPool | None = None,
        table_name: str = "late_documents",
        schema_name: str = "public",
        ensure_extension: bool = True,
        candidates: Literal["exact", "pooled"] = "exact",
    ) -> None:
        check_name(table_name, "table_name", MAX_TABLE_NAME_BYTES)
        check_name(schema_name, "schema_name", MAX_NAME_BYTES)
        if candidates not in ("exact", "pooled"):
            raise kayak.InvalidInputError(f"`candidates` is {candidates!r}, but must be 'exact' or 'pooled'")
        if not isinstance(ensure_extension, bool):
            raise kayak.InvalidTypeError(
                f"`ensure_extension` must be True or False, got {type(ensure_extension).__name__}"
            )
        source = connection_source(dsn, connection, pool)
        place = f"PostgreSQL table {sql.Identifier(schema_name, table_name).as_string(None)}"
        database = Database(source, place, default_adapters())
        try:
            extension = database.run(lambda session: require_extension(session, create=ensure_extension), writes=True)
            self._tables = Tables(schema_name, table_name, extension)
            database.run(lambda session: require_tables(session, self._tables), writes=True)
            database.adapters = vector_adapters(extension.vector_oid, extension.array_oid)
            self._database = database
            self._reader = Reader(database, self._tables)
            self._writer = Writer(self._tables)
            self.postings = PostgresPostings(database, self._tables, self._reader)
            self._pooled = candidates == "pooled"
            self._indexed_dims: set[int] = set()
            if self._pooled:
                check_can_index(self._tables)
                self._ensure_index(self.vector_dim())
        except BaseException:
            source.close()
            raise

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace documents in one transaction."""
        check_limits(rows)
        if not rows:
            return
        dim = int(rows[0].vectors.shape[1])
        if self._pooled:
            check_dim(dim)
        self._database.run(lambda session: self._writer.upsert(session, rows), writes=True)
        self._ensure_index(dim)

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete documents in one transaction."""
        if doc_ids:
            self._database.run(lambda session: self._writer.delete(session, doc_ids), writes=True)

    def vector_dim(self) -> int | None:
        """Return the dimension of the stored vectors, or None for an empty store."""
        dim: int | None = self._state("vector_dim")
        return dim

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield the selected documents in the order of their first insertion."""
        return self._reader.batches(selection)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata of the selected documents, in the order of their first insertion."""
        return self._reader.metadata(selection)

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool = False,
        layout: str = "packed",
    ) -> kayak.LateIndex:
        """Load the selected documents, all from one state of the database; see `LateStore.load_index`."""
        self._check_open()
        with self._database.pinned():
            return super().load_index(doc_ids=doc_ids, where=where, include_text=include_text, layout=layout)

    def split_filter(self, where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
        """Leave a filter to PostgreSQL, unless it has more comparisons than a statement has parameters for."""
        return (where, None) if can_translate(where) else (None, where)

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        """Search inside PostgreSQL, exactly or through mean vectors, as the store was opened."""
        find = pooled_candidates if self._pooled else exact_candidates
        return self._database.run(lambda session: find(session, self._tables, search))

    def stats(self) -> kayak.LateStoreStats:
        """Count what the store holds; the size includes indexes."""
        self._check_open()
        query = sql.SQL(_STATS).format(documents=self._tables.documents)
        counted = self._database.run(lambda session: session.rows(query, (self._tables.quoted_name,)))
        documents, vectors, has_texts, has_metadata, size = counted[0]
        return kayak.LateStoreStats(
            self.kind,
            documents,
            vectors,
            self.vector_dim(),
            has_texts,
            has_metadata,
            size,
            encoder_fingerprint=self.encoder_fingerprint(),
        )

    def capabilities(self) -> kayak.StoreCapabilities:
        """Return what the store can do."""
        return kayak.StoreCapabilities(
            self.kind,
            persistent=True,
            native_candidates="approximate" if self._pooled else "exact",
            filter_pushdown=PUSHED_DOWN,
            preserves_insertion_order=True,
            stores_encoder_fingerprint=True,
            reports_generation=True,
            postings="max",
        )

    def generation(self) -> str:
        """Return the store's identity and the number of its changes."""
        self._check_open()
        return str(self._state("store_id || '-' || generation"))

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""
        self._check_open()
        fingerprint: str | None = self._state("encoder_fingerprint")
        return fingerprint

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus.

        Raises:
            InvalidInputError: it holds NUL.
            StoreError: the store cannot be written.
        """
        if not is_storable(fingerprint):
            raise kayak.InvalidInputError(
                f"the fingerprint {fingerprint!r:.200} holds NUL, which PostgreSQL cannot store"
            )
        query = sql.SQL("UPDATE {} SET encoder_fingerprint = %s").format(self._tables.state)
        self._database.run(lambda session: session.execute(query, (fingerprint,)), writes=True)

    def release(self) -> None:
        """Close the connections that the store has made itself."""
        self._database.close()

    def __repr__(self) -> str:
        return f"PgvectorLateStore({self._tables.quoted_name})"

    def _state(self, expression: str) -> Any:
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(expression), self._tables.state)
        return self._database.run(lambda session: session.rows(query)[0][0])

    def _ensure_index(self, dim: int | None) -> None:
        """Build the index over mean vectors where it is wanted and missing, in a transaction of its own."""
        if not self._pooled or dim is None or dim in self._indexed_dims:
            return
        check_dim(dim)

        def work(session: Session) -> None:
            ensure_index(session, self._tables, dim)

        self._database.run(work, writes=True)
        self._indexed_dims.add(dim)
