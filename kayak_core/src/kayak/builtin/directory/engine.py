"""What the directory store's methods are made of: snapshots, the write transaction, maintenance."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property

import attrs

from kayak.builtin.directory.artifacts import DirectoryArtifacts, remove_orphan_parts
from kayak.builtin.directory.compaction import (
    CompactionReport,
    remove_files,
    remove_orphans,
    rewrite_segments,
    shrink_catalog,
)
from kayak.builtin.directory.connections import ConnectionPool
from kayak.builtin.directory.filters_sql import FilterIndexChecks, check_tree
from kayak.builtin.directory.folder import (
    acknowledging,
    catalog_path,
    folder_byte_size,
    prepare_folder,
    read_mark,
)
from kayak.builtin.directory.options import StoreOptions
from kayak.builtin.directory.reading import SnapshotReader, checked_meta
from kayak.builtin.directory.row_layout import RowLayout
from kayak.builtin.directory.schema import Meta, check_schema
from kayak.builtin.directory.selection import Selection
from kayak.builtin.directory.snapshot import Snapshot, read_segment_rows
from kayak.builtin.directory.verification import VerificationReport, verify_store
from kayak.builtin.directory.writer import StoreWriter
from kayak.contracts.store import LateStoreStats
from kayak.errors import UnsupportedOperationError
from kayak.typing import Int64Vector


@attrs.define
class _ProcessState:
    """What belongs to one process and is not used on the other side of a fork."""

    pid: int
    reader: SnapshotReader
    checks: FilterIndexChecks
    is_ready_to_write: bool = False


class DirectoryEngine:
    """An open folder.

    Args:
        kind: the store's kind, for messages.
        options: validated arguments.

    Raises:
        StorePathError, StoreVersionError, StoreCorruptError, StoreBusyError, InvalidInputError: see
            `DirectoryLateStore`.
    """

    def __init__(self, kind: str, options: StoreOptions) -> None:
        self._kind = kind
        self._options = options
        self.folder = options.path
        self.catalog = catalog_path(self.folder)
        prepare_folder(self.folder, create=options.create and not options.read_only, meta=options.new_meta())
        self._pool = ConnectionPool(
            self.catalog, busy_timeout=options.busy_timeout, read_only=options.read_only, kind=kind
        )
        self._process = self._new_process_state()
        try:
            with self._pool.connection() as connection:
                check_schema(connection, self.catalog)
            self.vector_dtype = self.meta().vector_dtype
            options.check_vector_dtype(self.vector_dtype)
        except BaseException:
            self._pool.close()
            raise

    def check_open(self) -> None:
        """Raise `StoreClosedError` after `close()`."""
        self._pool.check_open()

    def check_writable(self) -> None:
        """Raise `UnsupportedOperationError` for a read-only store."""
        self.check_open()
        if self._options.read_only:
            raise UnsupportedOperationError(
                f"the store at {self.folder} was opened with read_only=True; open it without to write"
            )

    @cached_property
    def artifacts(self) -> DirectoryArtifacts:
        """What is kept beside the documents."""

        @contextmanager
        def reading() -> Iterator[sqlite3.Connection]:
            with self._state.reader.meta() as (connection, _):
                yield connection

        @contextmanager
        def writing() -> Iterator[sqlite3.Connection]:
            self.check_writable()
            with self.writing() as (connection, _):
                yield connection

        return DirectoryArtifacts(self.folder, self.catalog, reading, writing)

    def meta(self) -> Meta:
        """Return the totals."""
        with self._state.reader.meta() as (_, meta):
            return meta

    def snapshot(self) -> AbstractContextManager[tuple[sqlite3.Connection, Snapshot]]:
        """Give a connection inside a read transaction, and the snapshot that it reads."""
        return self._state.reader.snapshot()

    def choose(self, selection: Selection, connection: sqlite3.Connection, snapshot: Snapshot) -> Int64Vector | None:
        """Return the numbers of the selected documents in the order wanted; None for all in order."""
        return selection.numbers(connection, snapshot, self.catalog, self._state.checks)

    @contextmanager
    def writing(self) -> Iterator[tuple[sqlite3.Connection, StoreWriter]]:
        """Hold the write lock for one transaction, then note that it was acknowledged."""
        acknowledged = read_mark(self.folder)
        with acknowledging(self.folder) as acknowledge:
            with self._pool.transaction("IMMEDIATE") as connection:
                meta = checked_meta(connection, self.catalog, acknowledged)
                state = self._state
                if not state.is_ready_to_write:
                    # A write looks ids up: a damaged tree could make it miss documents that are there.
                    check_tree(connection, self.catalog, "documents")
                    remove_orphans(self.folder, read_segment_rows(connection, meta, self.catalog))
                    remove_orphan_parts(self.folder, connection, self.catalog)
                    state.is_ready_to_write = True
                writer = StoreWriter(connection, self.folder, self.catalog, meta)
                yield connection, writer
            acknowledge(writer.meta.generation)

    def compact(self) -> CompactionReport:
        """Give back the space of deleted and replaced documents; see `DirectoryLateStore.compact`."""
        before = folder_byte_size(self.folder)
        with self.writing() as (connection, writer):
            rewrite = rewrite_segments(writer, connection, self.folder, self.catalog, self._options.segment_bytes)
            if rewrite.old_files:
                writer.finish()
        remove_files(rewrite.old_files)
        with self._pool.connection() as connection:
            shrink_catalog(connection)
        after = folder_byte_size(self.folder)
        return CompactionReport(max(0, before - after), after, len(rewrite.old_files), rewrite.moved_documents)

    def verify(self) -> VerificationReport:
        """Compare everything with its checksum; see `DirectoryLateStore.verify`."""
        report = self._state.reader.retried(
            lambda connection, meta: verify_store(connection, meta, self.folder, self.catalog)
        )
        for name in self.artifacts.names():
            self.artifacts.read(name)
        return report

    def stats(self) -> LateStoreStats:
        """Return what the store holds, without reading documents."""
        with self._state.reader.meta() as (connection, meta):
            segments = read_segment_rows(connection, meta, self.catalog)
            pages = connection.execute("PRAGMA freelist_count").fetchone()[0]
            page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        row_bytes = RowLayout(meta.vector_dtype, meta.vector_dim or 0).row_bytes
        stored = sum(segment.row_count * segment.row_bytes for segment in segments)
        return LateStoreStats(
            self._kind,
            meta.document_count,
            meta.vector_count,
            meta.vector_dim,
            meta.text_count > 0,
            meta.metadata_count > 0,
            folder_byte_size(self.folder),
            meta.vector_dtype,
            stored - meta.vector_count * row_bytes + pages * page_size,
            meta.encoder_fingerprint,
        )

    def close(self) -> None:
        """Release the files."""
        self._pool.close()
        self._state.reader.clear()

    @property
    def _state(self) -> _ProcessState:
        if self._process.pid != os.getpid():
            self._process = self._new_process_state()
        return self._process

    def _new_process_state(self) -> _ProcessState:
        return _ProcessState(os.getpid(), SnapshotReader(self.folder, self._pool), FilterIndexChecks())
