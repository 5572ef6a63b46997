"""Write transactions: upsert and delete, each all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs

from kayak.builtin.directory.batch import StoredBatch
from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.filter_index import FilterIndexWriter
from kayak.builtin.directory.rows import (
    INSERT_DOCUMENT,
    SELECT_DOCUMENTS,
    DocumentRow,
    SqlDocument,
    contents_are_intact,
    documents_are_intact,
    has_entries,
    parse_metadata,
    running_sum,
    segment_crc,
    select_in,
)
from kayak.builtin.directory.schema import Meta, write_meta
from kayak.builtin.directory.segments import SegmentRow, append_rows
from kayak.builtin.directory.snapshot import read_segment_rows


@attrs.frozen
class OldDocument:
    """A document that is about to be replaced or deleted."""

    row: DocumentRow
    text: str | None
    metadata: str


class StoreWriter:
    """Changes the catalog inside one transaction that holds the write lock.

    Args:
        connection: inside `BEGIN IMMEDIATE`.
        folder: the store's folder.
        catalog: the catalog's path, for messages.
        meta: the totals at the beginning.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, catalog: Path, meta: Meta) -> None:
        self._connection = connection
        self._folder = folder
        self._catalog = catalog
        self.meta = meta
        self._filters = FilterIndexWriter(connection, catalog)

    def upsert(self, batch: StoredBatch, segment_bytes: int) -> None:
        """Insert the documents, or replace those whose ids are known in their place.

        Args:
            batch: the documents; their dimension is the store's.
            segment_bytes: a segment of this size gets no more batches.
        """
        old = {document.row.id: document for document in self._read_old(batch.doc_ids)}
        segment = self._append(batch, segment_bytes)
        first_row = segment.row_count - len(batch.rows)
        ordinal = self.meta.next_ordinal
        rows = []
        for number, doc_id in enumerate(batch.doc_ids):
            known = old.get(doc_id)
            location = (segment.segment, first_row + batch.starts[number], batch.counts[number])
            place = ordinal if known is None else known.row.ordinal
            ordinal += known is None
            crcs = batch.vectors_crcs[number], batch.contents_crcs[number]
            rows.append(DocumentRow(place, doc_id, *location, *crcs))
        self._remove_filter_values(old.values())
        self._connection.executemany(INSERT_DOCUMENT, [row.to_sql() for row in rows])
        self._connection.executemany(
            "INSERT OR REPLACE INTO contents VALUES (?, ?, ?)",
            [(row.ordinal, *contents) for row, contents in zip(rows, batch.contents, strict=True)],
        )
        self._filters.add((row.ordinal, metadata) for row, metadata in zip(rows, batch.metadata, strict=True))
        self._count(
            list(old.values()),
            [OldDocument(row, *contents) for row, contents in zip(rows, batch.contents, strict=True)],
        )
        self.meta = attrs.evolve(self.meta, next_ordinal=ordinal, vector_dim=batch.vector_dim)

    def delete(self, doc_ids: Sequence[str]) -> bool:
        """Delete the documents that exist; return whether there were any."""
        old = self._read_old(doc_ids)
        if not old:
            return False
        self._remove_filter_values(old)
        ordinals = [(document.row.ordinal,) for document in old]
        self._connection.executemany("DELETE FROM documents WHERE ordinal = ?", ordinals)
        self._connection.executemany("DELETE FROM contents WHERE ordinal = ?", ordinals)
        self._count(old, [])
        if not self.meta.document_count:
            self.meta = attrs.evolve(self.meta, vector_dim=None)
        return True

    def finish(self) -> None:
        """Write the totals, with the next generation."""
        self.meta = attrs.evolve(
            self.meta,
            generation=self.meta.generation + 1,
            keys_sum=self._filters.finish(self.meta.keys_sum),
        )
        write_meta(self._connection, self.meta)

    def new_segment(self, vector_dim: int) -> SegmentRow:
        """Return an empty segment with a number that was never used."""
        segment = SegmentRow(self.meta.next_segment, vector_dim, 0, self.meta.vector_dtype)
        self.meta = attrs.evolve(self.meta, next_segment=segment.segment + 1)
        return segment

    def record_segments(self, added: Sequence[SegmentRow], removed: Sequence[SegmentRow]) -> None:
        """Change the table of segments."""

        def crc(row: SegmentRow) -> int:
            return segment_crc(row.segment, row.vector_dim, row.row_count)

        self._connection.executemany("DELETE FROM segments WHERE segment = ?", [(row.segment,) for row in removed])
        self._connection.executemany(
            "INSERT INTO segments VALUES (?, ?, ?, ?)",
            [(row.segment, row.vector_dim, row.row_count, crc(row)) for row in added],
        )
        total = running_sum(self.meta.segments_sum, map(crc, added), map(crc, removed))
        self.meta = attrs.evolve(self.meta, segments_sum=total)

    def replace_rows(self, old: Sequence[DocumentRow], new: Sequence[DocumentRow]) -> None:
        """Change where documents lie."""
        self._connection.executemany(INSERT_DOCUMENT, [row.to_sql() for row in new])
        total = running_sum(self.meta.documents_sum, (row.row_crc for row in new), (row.row_crc for row in old))
        self.meta = attrs.evolve(self.meta, documents_sum=total)

    def _append(self, batch: StoredBatch, segment_bytes: int) -> SegmentRow:
        """Write a batch's vectors to the active segment or a new one; return it with its new length."""
        segments = read_segment_rows(self._connection, self.meta, self._catalog)
        active = max(segments, key=lambda row: row.segment, default=None)
        rows, dim = batch.rows, batch.vector_dim
        if active is None or active.vector_dim != dim or active.byte_size + rows.nbytes > segment_bytes:
            active, before = self.new_segment(dim), []
        else:
            before = [active]
        append_rows(self._folder, active, rows)
        grown = attrs.evolve(active, row_count=active.row_count + len(rows))
        self.record_segments([grown], before)
        return grown

    def _read_old(self, doc_ids: Sequence[str]) -> list[OldDocument]:
        found: list[SqlDocument] = list(select_in(self._connection, f"{SELECT_DOCUMENTS} WHERE id IN", doc_ids))
        if not documents_are_intact(found):
            raise corrupt(self._catalog, "a row of its table `documents` does not match its checksum")
        rows = [DocumentRow.from_sql(row) for row in found]
        statement = "SELECT ordinal, text, metadata FROM contents WHERE ordinal IN"
        contents = {row[0]: row[1:] for row in select_in(self._connection, statement, [row.ordinal for row in rows])}
        old = []
        for row in rows:
            text, metadata = contents.get(row.ordinal, (None, None))
            if not contents_are_intact(text, metadata, row.contents_crc):
                raise corrupt(self._catalog, f"the text or metadata of document {row.id!r} does not match its checksum")
            old.append(OldDocument(row, text, metadata))
        return old

    def _remove_filter_values(self, old: Iterable[OldDocument]) -> None:
        self._filters.remove(
            (document.row.ordinal, parse_metadata(document.metadata))
            for document in old
            if has_entries(document.metadata)
        )

    def _count(self, gone: Sequence[OldDocument], come: Sequence[OldDocument]) -> None:
        def change(measure: Callable[[OldDocument], int]) -> int:
            return sum(map(measure, come)) - sum(map(measure, gone))

        meta = self.meta
        self.meta = attrs.evolve(
            meta,
            document_count=meta.document_count + len(come) - len(gone),
            vector_count=meta.vector_count + change(lambda document: document.row.vector_count),
            text_count=meta.text_count + change(lambda document: document.text is not None),
            metadata_count=meta.metadata_count + change(lambda document: has_entries(document.metadata)),
            documents_sum=running_sum(
                meta.documents_sum,
                (document.row.row_crc for document in come),
                (document.row.row_crc for document in gone),
            ),
        )
