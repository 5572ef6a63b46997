"""Documents as Arrow columns, both ways, and without a copy of the vectors on the way out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import kayak
import numpy as np
import pyarrow as pa

from kayak_lancedb.schema import (
    ID,
    METADATA,
    POSTED,
    REVISION,
    TERMS,
    TEXT,
    VECTOR_COUNT,
    VECTORS,
    id_field,
    postings_fields,
)


def to_record_batch(rows: Sequence[kayak.StoredDocument], schema: pa.Schema) -> pa.RecordBatch:
    """Return rows as one batch. A document without metadata gets null, so that counting them reads next to nothing.

    Where the schema has columns of postings, a document comes without terms and with a revision of its own.
    """
    counts = np.array([len(row.vectors) for row in rows], dtype=np.int32)
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    values = np.concatenate([row.vectors for row in rows])
    tokens = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    metadata = pa.array([kayak.metadata_json(row.metadata) if row.metadata else None for row in rows], pa.string())
    columns: Mapping[str, pa.Array] = {
        ID: pa.array([row.doc_id for row in rows], pa.string()),
        TEXT: pa.array([row.text for row in rows], pa.string()),
        METADATA: pa.ExtensionArray.from_storage(pa.json_(pa.string()), metadata),
        VECTOR_COUNT: pa.array(counts),
        VECTORS: pa.ListArray.from_arrays(pa.array(offsets), tokens),
        TERMS: pa.nulls(len(rows), pa.list_(pa.string())),
        POSTED: pa.nulls(len(rows), pa.string()),
        REVISION: pa.array([uuid.uuid4().hex for _ in rows], pa.string()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def postings_batch(postings: kayak.DocumentPostings, codebook: str, tokens: Sequence[str]) -> pa.Table:
    """Return what is merged into the rows of posted documents: their tokens, and the codebook that they are of."""
    schema = pa.schema([id_field(), *postings_fields()])
    columns: Mapping[str, pa.Array] = {
        ID: pa.array(postings.doc_ids, pa.string()),
        TERMS: pa.ListArray.from_arrays(pa.array(postings.offsets.astype(np.int32)), pa.array(tokens, pa.string())),
        POSTED: pa.array([codebook] * len(postings.doc_ids), pa.string()),
        REVISION: pa.array(postings.revisions, pa.string()),
    }
    return pa.table([columns[name] for name in schema.names], schema=schema)


def to_documents(batch: pa.RecordBatch, place: str) -> kayak.LateDocuments:
    """Return a batch with the columns `id` and `vectors`, and those of `text` and `metadata` that it has.

    Raises:
        StoreCorruptError: a document without vectors, which Kayak never writes.
    """
    ids = tuple(batch.column(ID).to_pylist())
    texts: tuple[str | None, ...] | None = None
    metadata: tuple[Mapping[str, Any], ...] | None = None
    if TEXT in batch.schema.names:
        column = batch.column(TEXT)
        texts = tuple(column.to_pylist()) if column.null_count < len(column) else None
    if METADATA in batch.schema.names:
        metadata = tuple(parsed_metadata(batch.column(METADATA)))
    return kayak.LateDocuments(ids, _block(batch.column(VECTORS), ids, place), texts, metadata)


def parsed_metadata(column: pa.Array) -> Iterable[dict[str, Any]]:
    """Yield the metadata rows of a JSON column; null is an empty row."""
    for text in column.to_pylist():
        yield {} if text is None else json.loads(text)


def _block(matrices: pa.ListArray, ids: tuple[str, ...], place: str) -> kayak.IndexBlock:
    offsets = matrices.offsets.to_numpy().astype(np.int64)
    start, stop = int(offsets[0]), int(offsets[-1])
    tokens = matrices.values.slice(start, stop - start)
    offsets -= start
    empty = np.flatnonzero(np.diff(offsets) <= 0)
    if len(empty) or tokens.null_count or tokens.type.list_size * len(tokens) != len(tokens.flatten()):
        named = f"document {ids[empty[0]]!r}" if len(empty) else "a document"
        raise kayak.StoreCorruptError(
            f"{place} holds {named} without vectors, which another program must have written; delete it or write it "
            "again with its vectors"
        )
    vectors = tokens.flatten().to_numpy(zero_copy_only=True).reshape(len(tokens), -1)
    offsets.flags.writeable = False
    return kayak.IndexBlock(offsets, vectors)
