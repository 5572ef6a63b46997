"""Streaming export: batches of documents from one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from kayak.builtin.directory.contents import read_contents
from kayak.builtin.directory.rows import parse_metadata
from kayak.builtin.directory.segments import STORED_DTYPES
from kayak.builtin.directory.snapshot import Snapshot
from kayak.typing import Int64Vector
from kayak.values import IndexBlock, LateDocuments
from kayak.values.blocks import gather_rows, offsets_from_counts


def export_batches(
    open_snapshot: Callable[[], AbstractContextManager[tuple[sqlite3.Connection, Snapshot]]],
    choose: Callable[[sqlite3.Connection, Snapshot], Int64Vector | None],
    check_open: Callable[[], None],
    catalog: Path,
    batch_size: int,
) -> Iterator[LateDocuments]:
    """Yield the chosen documents of one snapshot, copying one batch at a time.

    The read transaction lasts as long as the iteration, so writers and compactions do not disturb it.
    """
    with open_snapshot() as (connection, snapshot):
        chosen = choose(connection, snapshot)
        numbers = np.arange(len(snapshot.ids), dtype=np.int64) if chosen is None else chosen
        for start in range(0, len(numbers), batch_size):
            check_open()
            yield _read_batch(connection, snapshot, numbers[start : start + batch_size], catalog)


def _read_batch(
    connection: sqlite3.Connection, snapshot: Snapshot, numbers: Int64Vector, catalog: Path
) -> LateDocuments:
    contents = read_contents(connection, snapshot, numbers, catalog)
    slices = snapshot.slices(numbers)
    counts = np.empty(len(numbers), dtype=np.int64)
    for part in slices:
        counts[part.rows] = part.counts
    offsets = offsets_from_counts(counts)
    shape = (int(offsets[-1]), slices[0].block.vector_dim)
    block = IndexBlock(offsets, np.empty(shape, dtype=STORED_DTYPES[snapshot.meta.vector_dtype]))
    for part in slices:
        part.block.verify(part.positions)
        positions = np.arange(part.block.document_count) if part.positions is None else part.positions
        block.vectors[gather_rows(block, part.rows)] = part.block.vectors[gather_rows(part.block, positions)]
    block.vectors.flags.writeable = False
    texts = tuple(text for text, _ in contents)
    return LateDocuments(
        tuple(snapshot.ids[number] for number in numbers.tolist()),
        block,
        None if all(text is None for text in texts) else texts,
        tuple(parse_metadata(metadata) for _, metadata in contents),
    )
