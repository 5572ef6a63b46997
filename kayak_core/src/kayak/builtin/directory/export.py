"""Streaming export: batches of documents from one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from kayak.builtin.directory.contents import read_contents
from kayak.builtin.directory.rows import parse_metadata
from kayak.builtin.directory.snapshot import Snapshot
from kayak.typing import Int64Vector
from kayak.values import LateDocuments
from kayak.values.blocks import gathered_block


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
    block = gathered_block(snapshot.slices(numbers))
    texts = tuple(text for text, _ in contents)
    return LateDocuments(
        tuple(snapshot.ids[number] for number in numbers.tolist()),
        block,
        None if all(text is None for text in texts) else texts,
        tuple(parse_metadata(metadata) for _, metadata in contents),
    )
