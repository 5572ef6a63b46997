"""Compaction: giving back the space of deleted and replaced documents."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import numpy as np

from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.folder import SEGMENTS, remove_unfinished_catalogs, segment_path
from kayak.builtin.directory.row_layout import StoredRows
from kayak.builtin.directory.rows import SELECT_DOCUMENTS, DocumentRow, documents_are_intact, running_sum
from kayak.builtin.directory.schema import Meta
from kayak.builtin.directory.segments import SegmentMap, SegmentMaps, SegmentRow, append_rows
from kayak.builtin.directory.snapshot import read_segment_rows
from kayak.builtin.directory.writer import StoreWriter

_COPY_BYTES = 32 << 20
_SEGMENT_NAME = re.compile(r"\d{8,}\.vec")


@attrs.frozen
class CompactionReport:
    """What a compaction did.

    Attributes:
        reclaimed_byte_size: bytes by which the folder shrank.
        storage_byte_size: bytes that it has now.
        rewritten_segments: vector segments that held holes and were replaced.
        moved_documents: documents that were copied.
    """

    reclaimed_byte_size: int
    storage_byte_size: int
    rewritten_segments: int
    moved_documents: int


@attrs.frozen
class Rewrite:
    """What a rewriting transaction changed; the old files go once it is committed."""

    old_files: tuple[Path, ...]
    moved_documents: int


def rewrite_segments(
    writer: StoreWriter, connection: sqlite3.Connection, folder: Path, catalog: Path, segment_bytes: int
) -> Rewrite:
    """Copy the documents of every segment that has holes into new segments, inside the write transaction.

    Segments without holes stay, so that the cost follows what there is to reclaim.

    Raises:
        StoreCorruptError: a row or a document's vectors do not match their checksum; nothing is changed.
    """
    segments = read_segment_rows(connection, writer.meta, catalog)
    documents = _document_rows(connection, writer.meta, catalog)
    live: dict[int, int] = {}
    for row in documents:
        live[row.segment] = live.get(row.segment, 0) + row.vector_count
    holed = [segment for segment in segments if live.get(segment.segment, 0) < segment.row_count]
    if not holed:
        return Rewrite((), 0)
    numbers = {segment.segment for segment in holed}
    moving = [row for row in documents if row.segment in numbers]
    sources = _map_sources(folder, [segment for segment in holed if segment.segment in live])
    new_rows: list[DocumentRow] = []
    new_segments: list[SegmentRow] = []
    for group in _groups(moving, sources):
        rows = np.concatenate([_checked_rows(sources[row.segment], row) for row in group])
        vector_dim = sources[group[0].segment].row.vector_dim
        target = new_segments.pop() if new_segments else writer.new_segment(vector_dim)
        if target.row_count and target.byte_size + rows.nbytes > segment_bytes:
            new_segments.append(target)
            target = writer.new_segment(vector_dim)
        append_rows(folder, target, rows)
        first_row = target.row_count
        for row in group:
            location = (target.segment, first_row, row.vector_count)
            new_rows.append(DocumentRow(row.ordinal, row.id, *location, row.vectors_crc, row.contents_crc))
            first_row += row.vector_count
        new_segments.append(attrs.evolve(target, row_count=first_row))
    writer.replace_rows(moving, new_rows)
    writer.record_segments(new_segments, holed)
    return Rewrite(tuple(segment_path(folder, segment.segment) for segment in holed), len(moving))


def _document_rows(connection: sqlite3.Connection, meta: Meta, catalog: Path) -> list[DocumentRow]:
    rows = connection.execute(f"{SELECT_DOCUMENTS} ORDER BY ordinal").fetchall()
    if not documents_are_intact(rows) or running_sum(0, (row[3] for row in rows)) != meta.documents_sum:
        raise corrupt(catalog, "its table `documents` does not match its checksum")
    return [DocumentRow.from_sql(row) for row in rows]


def _map_sources(folder: Path, segments: Sequence[SegmentRow]) -> dict[int, SegmentMap]:
    try:
        return SegmentMaps(folder).open(segments)
    except FileNotFoundError as error:
        raise corrupt(Path(error.filename), "it is missing") from error


def _groups(rows: Sequence[DocumentRow], sources: dict[int, SegmentMap]) -> Iterator[list[DocumentRow]]:
    """Divide rows into groups of bounded bytes, so that copying takes little memory."""
    group: list[DocumentRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += row.vector_count * sources[row.segment].row.row_bytes
        if size >= _COPY_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _checked_rows(source: SegmentMap, row: DocumentRow) -> StoredRows:
    stop = row.first_row + row.vector_count
    if stop > source.row.row_count or source.crc(row.first_row, stop) != row.vectors_crc:
        raise corrupt(
            source.path,
            f"the vectors of document {row.id!r} do not match their checksum",
            "Restore the folder from a backup, or delete that document and compact again.",
        )
    return source.rows[row.first_row : stop]


def remove_files(paths: Sequence[Path]) -> None:
    """Remove files that nothing refers to; what cannot be removed now, the next writer removes."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def remove_orphans(folder: Path, segments: Sequence[SegmentRow]) -> None:
    """Remove what killed processes left; the caller holds the write lock."""
    known = {segment_path(folder, segment.segment).name for segment in segments}
    remove_files(
        [
            path
            for path in (folder / SEGMENTS).iterdir()
            if _SEGMENT_NAME.fullmatch(path.name) and path.name not in known
        ]
    )
    remove_unfinished_catalogs(folder)


def shrink_catalog(connection: sqlite3.Connection) -> None:
    """Give the catalog's free pages back, and empty its log as far as readers allow."""
    if connection.execute("PRAGMA freelist_count").fetchone()[0]:
        connection.execute("VACUUM")
    timeout = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute("PRAGMA busy_timeout = 0")  # readers may last; they are not worth waiting for
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute(f"PRAGMA busy_timeout = {timeout}")
