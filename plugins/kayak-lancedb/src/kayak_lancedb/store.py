"""`LanceDBLateStore`: documents in one LanceDB table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import kayak

from kayak_lancedb.columns import parsed_metadata, to_documents, to_record_batch
from kayak_lancedb.connecting import locate
from kayak_lancedb.faults import retried, translated
from kayak_lancedb.filters import ids_predicate, split_filter
from kayak_lancedb.maintenance import (
    FEWEST_VECTORS,
    CompactionReport,
    checked_keep,
    folder_bytes,
    index_config,
    make_index,
    optimize,
    remove_index,
)
from kayak_lancedb.postings import Postings
from kayak_lancedb.reading import ROWS_AT_MOST, rows_at_a_time, scan, table_size
from kayak_lancedb.schema import ENCODER_KEY, ID, METADATA, TEXT, VECTOR_COUNT, VECTORS, TableState
from kayak_lancedb.search import nearest, vector_index_name
from kayak_lancedb.tables import DocumentTable

if TYPE_CHECKING:
    from lancedb.table import LanceTable

WRITE_BYTES = 32 << 20
"""Bytes of vectors, texts and metadata that are converted to Arrow at a time while writing."""


class LanceDBLateStore(kayak.PostingsDatabaseStore):
    """Keeps documents in one LanceDB table, on disk or in object storage, without a server.

    An upsert is one commit: all of its documents are written, or none. Any number of processes may read and write at
    the same time; each call sees the newest version. Vectors are read as Arrow buffers and used without a copy.

    Args:
        path: the database's folder, made if it is missing, or the URI of object storage, such as "s3://bucket/late".
        table_name: the table. It is made with the first write.
        connection: a connection from `lancedb.connect`, instead of `path`; it stays the caller's and is never closed.
        storage_options: credentials and settings of the object storage, with `path` only.

    Raises:
        InvalidInputError: not exactly one of `path` and `connection`, or a bad name.
        InvalidTypeError: an argument has another type.
        StorePathError: the path cannot be a folder.
        StoreSchemaError: the table exists and Kayak did not make it; nothing is changed.
        StoreVersionError: a newer kayak-lancedb made the table.
        StoreError: the storage cannot be reached.
    """

    kind: ClassVar[str] = "lancedb"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        table_name: str = "late_documents",
        connection: Any = None,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self._location = locate(path, table_name, connection, storage_options)
        self._documents = DocumentTable(self._location)
        self.postings = Postings(self._documents)
        self._native: Literal["exact", "approximate"] = "exact"

    def vector_dim(self) -> int | None:
        """Return the dimension of the vectors, or None before the first document."""
        found = self._current()
        return None if found is None else found[1].vector_dim

    def write_documents(self, rows: Sequence[kayak.StoredDocument]) -> None:
        """Insert or replace the documents in one commit.

        Raises:
            StoreBusyError: other writers changed the same documents again and again.
            StoreError: the table cannot be written.
        """
        import pyarrow as pa

        dim = rows[0].vectors.shape[1]

        def merge() -> None:
            # Looked at before each attempt: somebody may have added the columns of postings, which must be emptied.
            table, state = self._documents.with_dimension(dim)
            schema = state.schema
            batches = (to_record_batch(part, schema) for part in kayak.row_batches(rows, max_bytes=WRITE_BYTES))
            builder = table.merge_insert(ID).when_matched_update_all().when_not_matched_insert_all()
            builder.execute(pa.RecordBatchReader.from_batches(schema, batches))

        with translated("write documents to", str(self._location)):
            retried(merge, self._current)

    def delete_documents(self, doc_ids: Sequence[str]) -> None:
        """Delete documents in one commit.

        Raises:
            StoreBusyError: other writers changed the same documents again and again.
            StoreError: the table cannot be written.
        """
        found = self._current()
        if found is None or not doc_ids:
            return
        predicate = ids_predicate(doc_ids)
        table = found[0]
        with translated("delete documents from", str(self._location)):
            retried(lambda: table.delete(predicate), self._current)

    def read_batches(self, selection: kayak.StoreSelection) -> Iterator[kayak.LateDocuments]:
        """Yield the selected documents of one version of the table, as views of LanceDB's own buffers."""
        found = self._current()
        if found is None or found[1].vector_dim is None:
            return
        table = found[0]
        columns = [ID, VECTORS, *([TEXT] if selection.texts else []), *([METADATA] if selection.metadata else [])]
        place = str(self._location)
        with translated("read", place):
            rows = rows_at_a_time(table)
        for batch in scan(table, columns, selection, rows, place):
            yield to_documents(batch, place)

    def read_metadata(self, selection: kayak.StoreSelection) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield id and metadata of the selected documents."""
        found = self._current()
        if found is None:
            return
        for batch in scan(found[0], [ID, METADATA], selection, ROWS_AT_MOST, str(self._location)):
            yield from zip(batch.column(ID).to_pylist(), parsed_metadata(batch.column(METADATA)), strict=True)

    def split_filter(self, where: kayak.Where) -> tuple[kayak.Where | None, kayak.Where | None]:
        """Leave comparisons with lists and objects, and very long filters, to the client."""
        return split_filter(where)

    def find_candidates(self, search: kayak.CandidateSearch) -> kayak.FoundCandidates:
        """Return the best documents by MaxSim: exact, or through the index that `create_index` made."""
        found = self._current()
        if found is None:
            return kayak.FoundCandidates((), ())
        with translated("search", str(self._location)):
            return nearest(found[0], search, vector_index_name(found[0]))

    def stats(self) -> kayak.LateStoreStats:
        """Return what the table holds, without reading vectors, texts or metadata."""
        self._check_open()
        found = self._current()
        if found is None:
            return kayak.LateStoreStats(self.kind, 0, 0, None, False, False, None)
        table, state = found
        with translated("read", str(self._location)):
            counted = [
                batch.column(VECTOR_COUNT).to_numpy()
                for batch in table.search().select([VECTOR_COUNT]).to_batches(1 << 16)
            ]
            texts = table.count_rows(f"{TEXT} IS NOT NULL")
            metadata = table.count_rows(f"{METADATA} IS NOT NULL")
            size = self._byte_size(table)
        return kayak.LateStoreStats(
            self.kind,
            sum(map(len, counted)),
            sum(int(counts.sum()) for counts in counted),
            state.vector_dim,
            texts > 0,
            metadata > 0,
            size,
            encoder_fingerprint=state.encoder,
        )

    def capabilities(self) -> kayak.StoreCapabilities:
        """Return what the store can do; `native_candidates` is "approximate" while the vectors have an index."""
        if not self._closed:
            found = self._current()
            with translated("read", str(self._location)):
                indexed = found is not None and vector_index_name(found[0]) is not None
            self._native = "approximate" if indexed else "exact"
        return kayak.StoreCapabilities(
            self.kind,
            persistent=True,
            native_candidates=self._native,
            filter_pushdown=tuple("$eq $ne $in $nin $gt $gte $lt $lte $exists $and $or $not".split()),
            atomic_upsert=True,
            stores_encoder_fingerprint=True,
            reports_generation=True,
            postings="bm25",
        )

    def compact(self, *, keep: timedelta = timedelta(hours=1)) -> CompactionReport:
        """Join the files of many small writes, give back the space of old versions, and bring indexes up to date.

        Indexes that were loaded stay valid. Readers and writers go on; a write that meets the compaction is repeated.

        Args:
            keep: versions younger than this stay, for readers that are still in the middle of them. Zero gives back
                everything, and is safe only while no other process uses the table.

        Raises:
            InvalidTypeError: `keep` is no `timedelta`.
            InvalidInputError: `keep` is negative.
            StoreBusyError: other writers kept changing the table.
            StoreError: the table cannot be written.
        """
        self._check_open()
        age = checked_keep(keep)
        found = self._current()
        folder = self._location.table_folder
        if found is None:
            return CompactionReport(None if folder is None else 0, None if folder is None else 0)
        before = None if folder is None else folder_bytes(folder)
        with translated("compact", str(self._location)):
            retried(lambda: optimize(found[0], age), self._current)
        if folder is None or before is None:
            return CompactionReport(None, None)
        after = folder_bytes(folder)
        return CompactionReport(before - after, after)

    def create_index(self, *, index_type: str = "ivf_rq", num_partitions: int | None = None) -> None:
        """Index the token vectors, so that native search is fast and approximate instead of an exact scan.

        The index ranks by the cosine of token vectors, which is MaxSim where they have unit length. Documents written
        later are scanned beside it until `compact()`. From then on `capabilities().native_candidates` is "approximate";
        `drop_index()` makes it exact again.

        Args:
            index_type: "ivf_rq" (a bit a dimension: the smallest), "ivf_pq", or "ivf_flat" (whole vectors).
            num_partitions: clusters of vectors; None lets LanceDB choose.

        Raises:
            InvalidTypeError: an argument has another type.
            InvalidInputError: an unknown type, no partition, or fewer vectors than an index is trained with.
            StoreBusyError: other writers kept changing the table.
            StoreError: the table cannot be written.
        """
        config = index_config(index_type, num_partitions)
        vectors = self.stats().total_vector_count
        found = self._current()
        if found is None or vectors < FEWEST_VECTORS:
            raise kayak.InvalidInputError(
                f"an index is trained with at least {FEWEST_VECTORS} token vectors, but {self._location} holds "
                f"{vectors}; search without an index, which is exact, until there are more"
            )
        with translated("index", str(self._location)):
            retried(lambda: make_index(found[0], config()), self._current)

    def drop_index(self) -> None:
        """Drop the index over the token vectors, if there is one: native search is exact again.

        Raises:
            StoreError: the table cannot be written.
        """
        self._check_open()
        found = self._current()
        if found is not None:
            with translated("drop the index of", str(self._location)):
                retried(lambda: remove_index(found[0]), self._current)

    def generation(self) -> str:
        """Return the table's identity and version, which any change of content moves; so does maintenance."""
        self._check_open()
        found = self._current()
        if found is None:
            return "none"
        with translated("read", str(self._location)):
            return f"{found[1].store_id}:{found[0].version}"

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""
        self._check_open()
        found = self._current()
        return None if found is None else found[1].encoder

    def write_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus.

        Raises:
            StoreError: the table cannot be written.
        """
        if self.encoder_fingerprint() == fingerprint:
            return
        table = self._documents.created()
        with translated("write to", str(self._location)):
            update = {"path": ID, "metadata": {ENCODER_KEY: fingerprint}}
            retried(lambda: table.update_field_metadata(update), self._current)

    def _current(self) -> tuple[LanceTable, TableState] | None:
        return self._documents.current()

    def _byte_size(self, table: LanceTable) -> int | None:
        folder = self._location.table_folder
        if folder is None:
            return table_size(table)[0]
        return folder_bytes(folder)
