"""`DirectoryLateStore`: the default store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import attrs

from kayak.builtin.directory.batch import stored_batch
from kayak.builtin.directory.compaction import CompactionReport
from kayak.builtin.directory.contents import read_contents
from kayak.builtin.directory.engine import DirectoryEngine
from kayak.builtin.directory.export import export_batches
from kayak.builtin.directory.options import StoreOptions
from kayak.builtin.directory.selection import Selection
from kayak.builtin.directory.snapshot import Snapshot
from kayak.builtin.directory.verification import VerificationReport
from kayak.builtin.exact_candidates import exact_store_candidates
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.store import DEFAULT_EXPORT_BATCH, LateStoreStats, StoreCapabilities
from kayak.contracts.store_checks import checked_fingerprint, deletable_ids, dimension_error, empty_selection
from kayak.contracts.where_comparison import COMPARISON_OPERATORS, Where
from kayak.contracts.where_tree import LOGICAL_OPERATORS, NEGATED_OPERATORS
from kayak.typing import DocIdsInput, Int64Vector, MetadataFilterInput, MetadataRowsInput
from kayak.values import INDEX_LAYOUTS, PACKED_LAYOUT, LateDocuments, LateIndex, LateQuery
from kayak.values.artifacts import ArtifactShelf, IndexOrigin
from kayak.values.coerce import non_negative_int
from kayak.values.element_types import VECTOR_DTYPES
from kayak.values.layouts import check_layout


class DirectoryLateStore:
    """Keeps documents in one folder: an SQLite catalog and append-only, memory-mapped vector files.

    A write that has returned is durable, and a kill at any instant leaves the state before or after a write, never a
    mixture. Readers in any number of threads and processes see consistent snapshots while one writer writes; a
    second writer waits for up to `busy_timeout`. The cost of an upsert grows with the batch, not with the store.
    `load_index` maps vectors without reading or copying them; each document's checksum is compared when its vectors
    are first used in a process, so an altered byte raises `StoreCorruptError` instead of changing a score.
    The folder must lie on a local file system.

    Args:
        path: the store's folder.
        vector_dtype: stored element type of a new store: "float32" (exact, the default), "float16" (half the bytes,
            values rounded to 11 significant bits) or "int8" (a quarter of the bytes and 4 a vector: codes from -127
            to 127 of one scale a token vector). The store keeps the rounded vectors alone, not the float32 that were
            given. Where the store exists, None takes the store's.
        busy_timeout: seconds that a writer waits for another one.
        create: whether to create a store where the folder is missing or empty.
        read_only: never write; works where the folder is not writable.
        segment_bytes: a vector file of this size is not appended to; a larger batch still goes into one file.

    Raises:
        StorePathError: the path is a file, cannot be used, or is a folder of something else.
        StoreVersionError: the folder was written by a newer kayak, or by kayak 0.3 (see `import_kayak_03_store`).
        StoreCorruptError: the catalog is damaged.
        StoreBusyError: another process held the catalog for longer than the timeout.
        InvalidInputError: the store has another `vector_dtype`, or an argument is out of range.
    """

    kind: ClassVar[str] = "kayak"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        vector_dtype: str | None = None,
        busy_timeout: float = 30.0,
        create: bool = True,
        read_only: bool = False,
        segment_bytes: int = 1 << 30,
    ) -> None:
        self._options = StoreOptions(path, vector_dtype, busy_timeout, segment_bytes, create, read_only)
        self._engine = DirectoryEngine(self.kind, self._options)

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._engine.folder

    @property
    def vector_dtype(self) -> str:
        """Stored element type, "float32", "float16" or "int8"."""
        return self._engine.vector_dtype

    @property
    def artifacts(self) -> ArtifactShelf:
        """What is kept beside the documents, for example inverted lists; see `kayak.ArtifactShelf`."""
        return self._engine.artifacts

    def upsert(self, documents: LateDocuments, *, metadata: MetadataRowsInput = None) -> None:
        """Insert documents, or replace those whose ids are known, all or nothing; durable on return.

        Replaced documents keep their place in the order.

        Args:
            documents: the documents; their own `metadata` is stored where `metadata` is not given.
            metadata: one row (or None) a document.

        Raises:
            InvalidTypeError: `documents` is no `LateDocuments`.
            InvalidInputError: misaligned or malformed metadata, another dimension than the store's, or a value
                that float16 cannot hold.
            StoreBusyError: another writer held the store for longer than `busy_timeout`.
            StoreError: the store cannot be written.
        """
        self._engine.check_writable()
        batch = stored_batch(documents, metadata, self._engine.vector_dtype)
        with self._engine.writing() as (_, writer):
            known = writer.meta.vector_dim
            if known is not None and known != documents.vector_dim:
                raise dimension_error(documents, known)
            writer.upsert(batch, self._options.segment_bytes)
            writer.finish()

    def delete(self, doc_ids: DocIdsInput) -> None:
        """Delete documents, all or nothing; ids that are not in the store are ignored.

        Raises:
            InvalidTypeError: ids that are not strings.
            StoreBusyError: another writer held the store for longer than `busy_timeout`.
            StoreError: the store cannot be written.
        """
        self._engine.check_writable()
        ids = deletable_ids(doc_ids)
        with self._engine.writing() as (_, writer):
            if writer.delete(ids):
                writer.finish()

    def load_index(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        include_text: bool = False,
        layout: str = PACKED_LAYOUT,
    ) -> LateIndex:
        """Load the selected documents as an index over the memory-mapped files; see `LateStore.load_index`.

        The index stays valid after writes, compactions and `close()`.
        """
        selection = Selection.from_inputs(doc_ids, where)
        with self._engine.snapshot() as (connection, snapshot):
            check_layout(layout, INDEX_LAYOUTS, snapshot.meta.vector_dim or 0, "index")
            numbers = self._engine.choose(selection, connection, snapshot)
            if not (snapshot.ids if numbers is None else len(numbers)):
                raise empty_selection(self.kind, doc_ids, where)
            texts: tuple[str | None, ...] | None = None
            if include_text and snapshot.meta.text_count:
                contents = read_contents(connection, snapshot, numbers, self._engine.catalog)
                texts = tuple(text for text, _ in contents)
        ids = snapshot.ids if numbers is None else tuple(snapshot.ids[i] for i in numbers.tolist())
        if texts is not None and all(text is None for text in texts):
            texts = None
        origin = IndexOrigin(snapshot.document_keys, self._engine.artifacts)
        if numbers is not None:
            origin = origin.take(numbers)
        return LateIndex(ids, snapshot.slices(numbers), layout, texts, origin)

    def documents(
        self,
        *,
        doc_ids: DocIdsInput | None = None,
        where: MetadataFilterInput = None,
        batch_size: int = DEFAULT_EXPORT_BATCH,
    ) -> Iterator[LateDocuments]:
        """Export the selected documents, with texts and metadata, in batches; see `LateStore.documents`.

        All batches come from the state at the first one, whatever is written meanwhile. Vectors keep the store's
        element type.
        """
        self._engine.check_open()
        size = non_negative_int(batch_size, "batch_size", minimum=1)
        selection = Selection.from_inputs(doc_ids, where)

        def choose(connection: sqlite3.Connection, snapshot: Snapshot) -> Int64Vector | None:
            return self._engine.choose(selection, connection, snapshot)

        return export_batches(self._engine.snapshot, choose, self._engine.check_open, self._engine.catalog, size)

    def search_candidates(
        self,
        query: LateQuery,
        *,
        k: int,
        where: MetadataFilterInput = None,
        doc_ids: DocIdsInput | None = None,
    ) -> CandidateStageResult:
        """Return the `k` best documents by exact MaxSim; see `LateStore.search_candidates`."""
        return exact_store_candidates(self, query, k=k, where=where, doc_ids=doc_ids)

    def split_filter(self, where: Where) -> tuple[Where | None, Where | None]:
        """Return the whole filter as the store's own part: all operators run in the catalog."""
        return where, None

    def compact(self) -> CompactionReport:
        """Give back the space of deleted and replaced documents.

        Files with holes are copied without them, and the catalog is vacuumed. Other writers wait meanwhile; readers
        and loaded indexes go on. Needs free space for a copy of the files that have holes.

        Raises:
            StoreCorruptError: a document that would be copied is damaged; nothing is changed.
            StoreBusyError: another writer held the store for longer than `busy_timeout`.
            StoreError: the store cannot be written.
        """
        self._engine.check_writable()
        return self._engine.compact()

    def verify(self) -> VerificationReport:
        """Compare everything with its checksum, reading the whole store.

        Raises:
            StoreCorruptError: something is damaged. Where documents are, the message names the first ones, and a
                note on the exception lists all.
        """
        return self._engine.verify()

    def stats(self) -> LateStoreStats:
        """Return what the store holds, without reading documents."""
        return self._engine.stats()

    def capabilities(self) -> StoreCapabilities:
        """Return what the store can do."""
        return StoreCapabilities(
            self.kind,
            persistent=True,
            native_candidates="exact",
            filter_pushdown=(*COMPARISON_OPERATORS, *NEGATED_OPERATORS, *LOGICAL_OPERATORS),
            preserves_insertion_order=True,
            vector_dtypes=VECTOR_DTYPES,
            stores_encoder_fingerprint=True,
            reports_generation=True,
        )

    def generation(self) -> int:
        """Return the number of committed writes; compactions count, since they move what indexes map."""
        return self._engine.meta().generation

    def encoder_fingerprint(self) -> str | None:
        """Return what encoded the corpus, or None where unknown."""
        return self._engine.meta().encoder_fingerprint

    def set_encoder_fingerprint(self, fingerprint: str) -> None:
        """Remember what encodes the corpus.

        Raises:
            InvalidTypeError: not a string.
            InvalidInputError: not UTF-8.
            StoreError: the store cannot be written.
        """
        self._engine.check_writable()
        checked_fingerprint(fingerprint)
        with self._engine.writing() as (_, writer):
            if writer.meta.encoder_fingerprint != fingerprint:
                writer.meta = attrs.evolve(writer.meta, encoder_fingerprint=fingerprint)
                writer.finish()

    def close(self) -> None:
        """Release the store's files; further use raises `StoreClosedError`. May be called again."""
        self._engine.close()

    def __enter__(self) -> Self:
        self._engine.check_open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"DirectoryLateStore({str(self.path)!r})"
