"""Documents as rows, on their way into a store: checked, and in batches of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import numpy as np

from kayak.contracts.metadata import metadata_json, normalize_metadata_rows
from kayak.errors import InvalidTypeError
from kayak.typing import Float32Matrix, MetadataRowsInput
from kayak.values import LateDocuments
from kayak.values.coerce import non_negative_int


@attrs.frozen(eq=False)
class StoredDocument:
    """One document as a store keeps it.

    Attributes:
        doc_id: non-empty, unique in the store.
        vectors: float32, C-contiguous, shape (token vectors ≥ 1, dimension); must come back bit-exact.
        text: the document's text, or None.
        metadata: JSON object; empty where there is none.
    """

    doc_id: str
    vectors: Float32Matrix
    text: str | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)


def stored_rows(documents: LateDocuments, metadata: MetadataRowsInput) -> tuple[StoredDocument, ...]:
    """Validate what `upsert` was given and return one row a document, sharing no memory that the caller can change.

    Raises:
        InvalidTypeError: `documents` is no `LateDocuments`.
        InvalidInputError: misaligned or malformed metadata.
    """
    rows = checked_metadata(documents, metadata)
    texts = documents.texts or (None,) * documents.document_count
    # `kayak.documents` hands out read-only copies, which stores may keep; a block made by hand may be writable.
    keep = np.array if documents.block.vectors.flags.writeable else np.ascontiguousarray
    return tuple(
        StoredDocument(doc_id, keep(matrix), text, row)
        for doc_id, matrix, text, row in zip(documents.doc_ids, documents.token_matrices, texts, rows, strict=True)
    )


def checked_metadata(documents: LateDocuments, metadata: MetadataRowsInput) -> tuple[Mapping[str, Any], ...]:
    """Return one plain metadata row a document: those given, else the documents' own, else empty ones.

    Raises:
        InvalidTypeError: `documents` is no `LateDocuments`.
        InvalidInputError: misaligned or malformed metadata.
    """
    if not isinstance(documents, LateDocuments):
        raise InvalidTypeError(
            f"upsert expects LateDocuments, got {type(documents).__name__}; build them with "
            "kayak.documents(doc_ids, token_vectors), or use a retriever's upsert_texts for texts"
        )
    rows = normalize_metadata_rows(
        documents.metadata if metadata is None else metadata,
        document_count=documents.document_count,
        doc_ids=documents.doc_ids,
    )
    return tuple({} for _ in documents.doc_ids) if rows is None else tuple(row or {} for row in rows)


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
