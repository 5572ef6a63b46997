"""Documents of an upsert in the form in which they are stored, ready before the write lock is taken."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from kayak.builtin.directory.rows import contents_crc
from kayak.builtin.directory.segments import STORED_DTYPES, raw_bytes
from kayak.contracts.metadata import metadata_json
from kayak.contracts.store_rows import checked_metadata
from kayak.errors import InvalidInputError
from kayak.typing import MetadataRowsInput
from kayak.values import LateDocuments
from kayak.values.coerce import first_non_finite_row


@attrs.frozen(eq=False)
class StoredBatch:
    """Documents as they go to disk.

    Attributes:
        doc_ids: their ids.
        vectors: C-contiguous, of the stored element type, shape (token vectors, dimension).
        starts: first row of each document in `vectors`.
        counts: token vectors of each document.
        vectors_crcs: CRC-32 of each document's stored bytes.
        contents: (text, metadata as JSON text) of each document.
        contents_crcs: their checksums.
        metadata: the metadata rows.
    """

    doc_ids: tuple[str, ...]
    vectors: npt.NDArray[Any]
    starts: list[int]
    counts: list[int]
    vectors_crcs: list[int]
    contents: list[tuple[str | None, str]]
    contents_crcs: list[int]
    metadata: tuple[Mapping[str, Any], ...]


def stored_batch(documents: LateDocuments, metadata: MetadataRowsInput, vector_dtype: str) -> StoredBatch:
    """Validate and convert what `upsert` was given.

    Raises:
        InvalidTypeError: `documents` is no `LateDocuments`.
        InvalidInputError: malformed metadata, or a value beyond the stored element type.
    """
    rows = checked_metadata(documents, metadata)
    texts = documents.texts or (None,) * documents.document_count
    contents = [(text, metadata_json(row)) for text, row in zip(texts, rows, strict=True)]
    vectors = _stored_vectors(documents, vector_dtype)
    starts = (documents.block.offsets[:-1] - documents.block.offsets[0]).tolist()
    counts = documents.block.counts.tolist()
    data = raw_bytes(vectors)
    row_bytes = vectors.shape[1] * vectors.itemsize
    crcs = [
        zlib.crc32(data[start * row_bytes : (start + count) * row_bytes])
        for start, count in zip(starts, counts, strict=True)
    ]
    contents_crcs = [contents_crc(*pair) for pair in contents]
    return StoredBatch(documents.doc_ids, vectors, starts, counts, crcs, contents, contents_crcs, rows)


def _stored_vectors(documents: LateDocuments, vector_dtype: str) -> npt.NDArray[Any]:
    block = documents.block
    block.verify()
    source = block.vectors[block.offsets[0] : block.offsets[-1]]
    with np.errstate(over="ignore"):  # reported below
        vectors: npt.NDArray[Any] = np.ascontiguousarray(source, dtype=STORED_DTYPES[vector_dtype])
    if vectors.itemsize < source.itemsize:
        row = first_non_finite_row(vectors)
        if row is not None:
            number = int(np.searchsorted(block.offsets - block.offsets[0], row, side="right")) - 1
            raise InvalidInputError(
                f"document {documents.doc_ids[number]!r} has a value beyond ±65504 in token vector "
                f"{row - int(block.offsets[number] - block.offsets[0])}, which this store's vector_dtype "
                "'float16' cannot hold; scale the vectors, or use a store with vector_dtype='float32'"
            )
    return vectors
