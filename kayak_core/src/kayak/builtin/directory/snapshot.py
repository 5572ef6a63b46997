"""One committed state of the store: where every document's vectors lie, verified as a whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs
import numpy as np

from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.rows import LOCATION, running_sum, scan_documents, segment_crc
from kayak.builtin.directory.schema import Meta
from kayak.builtin.directory.segments import ChecksumGuard, SegmentMap, SegmentMaps, SegmentRow
from kayak.typing import Int64Vector
from kayak.values.blocks import IndexBlock, IndexSlice

_INTEGER: Final = int


@attrs.frozen(eq=False)
class SnapshotBlock:
    """The documents of one segment.

    Attributes:
        block: their vectors; holes that deleted documents left are documents of the block too.
        rows: numbers in the snapshot of the documents that are in the store, as they lie in the file.
        positions: their numbers in the block.
        guard: checks their vectors.
    """

    block: IndexBlock
    rows: Int64Vector
    positions: Int64Vector
    guard: ChecksumGuard

    @property
    def has_holes(self) -> bool:
        """Whether the block holds rows of documents that are gone."""
        return len(self.rows) != self.block.document_count


@attrs.frozen(eq=False, slots=False)
class Snapshot:
    """Every document of one generation, in insertion order.

    Attributes:
        meta: the totals.
        ids: document ids.
        ordinals: keys of the documents in the catalog, ascending.
        vectors_crcs: checksums of their vectors.
        contents_crcs: checksums of their texts and metadata.
        segments: the segments of the generation.
        blocks: the documents' vectors.
        block_of: number in `blocks` of each document's block.
        position_of: number within that block.
    """

    meta: Meta
    ids: tuple[str, ...]
    ordinals: Int64Vector
    vectors_crcs: Int64Vector
    contents_crcs: Int64Vector
    segments: tuple[SegmentRow, ...]
    blocks: tuple[SnapshotBlock, ...]
    block_of: Int64Vector
    position_of: Int64Vector

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Document number of each id."""
        return {doc_id: number for number, doc_id in enumerate(self.ids)}

    @cached_property
    def document_keys(self) -> Int64Vector:
        """For each document a number of its own, another one whenever its vectors change."""
        return (self.ordinals << 32) | self.vectors_crcs

    def slices(self, chosen: Int64Vector | None) -> tuple[IndexSlice, ...]:
        """Return the vectors of the chosen documents, standing in the given order (None: all)."""
        if chosen is None:
            return tuple(
                IndexSlice(part.block, part.positions if part.has_holes else None, part.rows) for part in self.blocks
            )
        slices = []
        block_of, position_of = self.block_of[chosen], self.position_of[chosen]
        for number, part in enumerate(self.blocks):
            members = np.flatnonzero(block_of == number)
            if len(members):
                members = members[np.argsort(position_of[members], kind="stable")]
                slices.append(IndexSlice(part.block, position_of[members], members))
        return tuple(slices)


def read_segment_rows(connection: sqlite3.Connection, meta: Meta, catalog: Path) -> tuple[SegmentRow, ...]:
    """Read and check the table of segments.

    Raises:
        StoreCorruptError: a row is missing or altered.
    """
    rows = connection.execute("SELECT segment, vector_dim, row_count, row_crc FROM segments").fetchall()
    intact = all(all(type(value) is _INTEGER for value in row) and segment_crc(*row[:3]) == row[3] for row in rows)
    if not intact or running_sum(0, (row[3] for row in rows)) != meta.segments_sum:
        raise corrupt(catalog, "its table `segments` does not match its checksum")
    return tuple(SegmentRow(row[0], row[1], row[2], meta.vector_dtype) for row in rows)


def read_snapshot(connection: sqlite3.Connection, meta: Meta, maps: SegmentMaps, catalog: Path) -> Snapshot:
    """Read all of a generation inside one read transaction.

    Raises:
        FileNotFoundError: a segment is gone.
        StoreCorruptError: a row or a segment is missing or altered.
    """
    segments = read_segment_rows(connection, meta, catalog)
    limit = meta.document_count + 1  # a damaged tree could list rows again and again
    columns = scan_documents(connection, limit)
    if columns is None:
        raise corrupt(catalog, "a row of its table `documents` does not match its checksum")
    ids = tuple(columns[1])
    if len(ids) != meta.document_count:
        raise corrupt(catalog, f"its table `documents` lacks rows or has too many, {meta.document_count} are due")
    if running_sum(0, columns[3]) != meta.documents_sum or len(set(ids)) != len(ids):
        raise corrupt(catalog, "its table `documents` does not match its checksum")
    ordinals = np.array(columns[0], dtype=np.int64)
    locations = np.frombuffer(b"".join(columns[2]), dtype=LOCATION)
    numbers, first_rows, counts, vectors_crcs, contents_crcs = (
        np.ascontiguousarray(locations[name]) for name in LOCATION.names or ()
    )
    if not _is_ascending(ordinals) or int(counts.sum()) != meta.vector_count:
        raise corrupt(catalog, "its table `documents` does not match the totals")
    mapped = maps.open(segments)
    blocks: list[SnapshotBlock] = []
    block_of = np.full(len(ids), -1, dtype=np.int64)
    position_of = np.zeros(len(ids), dtype=np.int64)
    for segment, segment_map in mapped.items():
        members = np.flatnonzero(numbers == segment)
        if len(members):
            members = members[np.argsort(first_rows[members], kind="stable")]
            part = _block(
                segment_map, members, first_rows[members], counts[members], vectors_crcs[members], ids.__getitem__
            )
            if part is None:
                raise corrupt(catalog, f"its documents overlap or leave segment {segment}")
            block_of[members], position_of[members] = len(blocks), part.positions
            blocks.append(part)
    if (block_of < 0).any():
        raise corrupt(catalog, "a document lies in a segment that is not listed")
    return Snapshot(meta, ids, ordinals, vectors_crcs, contents_crcs, segments, tuple(blocks), block_of, position_of)


def _is_ascending(values: Int64Vector) -> bool:
    return bool((values[1:] > values[:-1]).all())


def _block(
    segment: SegmentMap,
    rows: Int64Vector,
    starts: Int64Vector,
    counts: Int64Vector,
    crcs: Int64Vector,
    doc_id: Callable[[int], str],
) -> SnapshotBlock | None:
    """Build a block over the documents of one segment; None if they overlap or leave the committed rows."""
    stops = starts + counts
    if (counts < 1).any() or starts[0] < 0 or stops[-1] > segment.row.row_count or (starts[1:] < stops[:-1]).any():
        return None
    bounds = np.zeros(2 * len(starts) + 1, dtype=np.int64)  # ascending: documents do not overlap
    bounds[1::2], bounds[2::2] = starts, stops
    offsets = bounds[np.append(True, bounds[1:] > bounds[:-1])]
    offsets.flags.writeable = False
    positions = np.searchsorted(offsets, starts)
    block_crcs = np.zeros(len(offsets) - 1, dtype=np.int64)
    block_crcs[positions] = crcs
    guard = ChecksumGuard(
        segment,
        offsets[:-1],
        offsets[1:],
        positions,
        block_crcs,
        lambda number: doc_id(int(rows[np.searchsorted(positions, number)])),
    )
    used = slice(int(offsets[-1]))
    scales = None if segment.scales is None else segment.scales[used]
    return SnapshotBlock(IndexBlock(offsets, segment.vectors[used], guard, scales), rows, positions, guard)
