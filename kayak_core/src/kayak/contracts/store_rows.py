"""Rows on their way into a database: batches of bounded size, and metadata as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kayak.contracts.base_store import StoredDocument
from kayak.values.coerce import non_negative_int


def metadata_json(row: Mapping[str, Any]) -> str:
    """Return a metadata row as compact JSON, from which `json.loads` gives it back exactly."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def row_batches(
    rows: Iterable[StoredDocument], *, max_bytes: int, max_rows: int | None = None
) -> Iterator[tuple[StoredDocument, ...]]:
    """Divide rows into batches that an engine's limits allow, keeping their order.

    Args:
        rows: the documents.
        max_bytes: bytes of vectors, text and metadata that a batch may hold, ≥ 1; a single document that is larger
            gets a batch of its own.
        max_rows: documents that a batch may hold, ≥ 1; None for any number.

    Raises:
        InvalidTypeError: a limit is no integer.
        InvalidInputError: a limit is below 1.
    """
    most_bytes = non_negative_int(max_bytes, "max_bytes", minimum=1)
    most_rows = None if max_rows is None else non_negative_int(max_rows, "max_rows", minimum=1)
    return _row_batches(rows, most_bytes, most_rows)


def _row_batches(
    rows: Iterable[StoredDocument], most_bytes: int, most_rows: int | None
) -> Iterator[tuple[StoredDocument, ...]]:
    batch: list[StoredDocument] = []
    size = 0
    for row in rows:
        row_size = _byte_size(row)
        if batch and (size + row_size > most_bytes or len(batch) == most_rows):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(row)
        size += row_size
    if batch:
        yield tuple(batch)


def _byte_size(row: StoredDocument) -> int:
    return row.vectors.nbytes + len((row.text or "").encode()) + len(metadata_json(row.metadata).encode())
