"""Checking every checksum of a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs

from kayak.builtin.directory.faults import corrupt
from kayak.builtin.directory.filters_sql import check_key, read_keys
from kayak.builtin.directory.row_layout import RowLayout
from kayak.builtin.directory.rows import (
    contents_are_intact,
    filter_value,
    filter_value_crc,
    parse_metadata,
    running_sum,
)
from kayak.builtin.directory.schema import Meta
from kayak.builtin.directory.segments import SegmentMaps
from kayak.builtin.directory.snapshot import Snapshot, read_snapshot

_NAMED = 10


@attrs.frozen
class VerificationReport:
    """What was checked and found intact.

    Attributes:
        document_count: documents.
        vector_count: their token vectors.
        vector_byte_size: bytes of vectors that were read.
        segment_count: vector segments.
    """

    document_count: int
    vector_count: int
    vector_byte_size: int
    segment_count: int


def verify_store(connection: sqlite3.Connection, meta: Meta, folder: Path, catalog: Path) -> VerificationReport:
    """Check everything that one read transaction sees, reading it all from disk.

    Raises:
        FileNotFoundError: a segment is gone.
        StoreCorruptError: something is damaged. Where documents are, the message names the first ones, and a note
            on the exception lists them all.
    """
    report = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if report != "ok":
        raise corrupt(catalog, str(report))
    snapshot = read_snapshot(connection, meta, SegmentMaps(folder), catalog)
    keys: dict[str, list[int]] = {}
    damaged = [*_damaged_vectors(snapshot), *_damaged_contents(connection, snapshot, keys)]
    if damaged:
        first = ", ".join(map(repr, damaged[:_NAMED])) + (" …" if len(damaged) > _NAMED else "")
        error = corrupt(
            folder,
            f"{len(damaged)} of {meta.document_count} documents do not match their checksums: {first}",
            "Restore the folder from a backup, or delete and upsert these documents again.",
        )
        error.add_note(f"Damaged documents: {damaged!r}")
        raise error
    stored = read_keys(connection, snapshot, catalog)
    for key in stored.values():
        check_key(connection, catalog, key)
    sums = {key: running_sum(0, crcs) for key, crcs in keys.items()}
    if sums != {name: key.values_sum for name, key in stored.items()}:
        raise corrupt(catalog, "its filter index does not agree with the documents' metadata")
    row_bytes = RowLayout(meta.vector_dtype, meta.vector_dim or 0).row_bytes
    return VerificationReport(
        meta.document_count, meta.vector_count, meta.vector_count * row_bytes, len(snapshot.segments)
    )


def _damaged_vectors(snapshot: Snapshot) -> Iterator[str]:
    for part in snapshot.blocks:
        for number in part.positions.tolist():
            if not part.guard.matches(number):
                yield part.guard.name(number)


def _damaged_contents(connection: sqlite3.Connection, snapshot: Snapshot, keys: dict[str, list[int]]) -> Iterator[str]:
    """Yield documents whose text or metadata is damaged; collect the filter checksums of the others by key."""
    rows = connection.execute("SELECT ordinal, text, metadata FROM contents ORDER BY ordinal")
    row = rows.fetchone()
    for doc_id, ordinal, crc in zip(
        snapshot.ids, snapshot.ordinals.tolist(), snapshot.contents_crcs.tolist(), strict=True
    ):
        while row is not None and row[0] < ordinal:
            row = rows.fetchone()
        if row is None or row[0] != ordinal or not contents_are_intact(row[1], row[2], crc):
            yield doc_id
            continue
        for key, value in parse_metadata(row[2]).items():
            keys.setdefault(key, []).append(filter_value_crc(*filter_value(value), ordinal))
