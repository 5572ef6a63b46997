"""Scans: the selected rows of one version of the table, as batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kayak
import pyarrow as pa

from kayak_lancedb.faults import translated
from kayak_lancedb.filters import ids_predicate, to_sql
from kayak_lancedb.schema import METADATA

if TYPE_CHECKING:
    from lancedb.table import LanceTable

READ_BYTES = 16 << 20
"""Bytes that a batch of documents read from the table should hold."""

ROWS_AT_MOST = 8192
"""Documents that a batch may hold."""


def selection_predicate(where: kayak.Where | None, doc_ids: tuple[str, ...] | None) -> str | None:
    """Return the SQL predicate of a selection, or None where it is everything."""
    parts = [] if where is None else [to_sql(where, METADATA)]
    parts += [] if doc_ids is None else [ids_predicate(doc_ids)]
    return " AND ".join(parts) or None


def scan(
    table: LanceTable, columns: list[str], selection: kayak.StoreSelection, rows: int, place: str
) -> Iterator[pa.RecordBatch]:
    """Yield the selected rows, `rows` at a time, in the table's order.

    Raises:
        StoreError: the table cannot be read.
    """
    yield from scan_rows(table, columns, selection_predicate(selection.where, selection.doc_ids), rows, place)


def scan_rows(
    table: LanceTable, columns: list[str], predicate: str | None, rows: int, place: str
) -> Iterator[pa.RecordBatch]:
    """Yield the rows for which a predicate holds, `rows` at a time, in the table's order.

    Raises:
        StoreError: the table cannot be read.
    """
    query = table.search().select(columns)
    with translated("read", place):
        reader = (query if predicate is None else query.where(predicate)).to_batches(rows)
    while True:
        with translated("read", place):
            batch = next(reader, None)
        if batch is None:
            return
        if batch.num_rows:
            yield batch


def rows_at_a_time(table: LanceTable) -> int:
    """Return how many documents of average size make `READ_BYTES`."""
    total, rows = table_size(table)
    return min(ROWS_AT_MOST, max(1, READ_BYTES * rows // max(1, total)))


def table_size(table: Any) -> tuple[int, int]:
    """Return the bytes and the documents of a table; LanceDB's annotation says an object, but gives a dict."""
    stats = table.stats()
    return int(stats["total_bytes"]), int(stats["num_rows"])
