"""Documents of an upsert in the form in which they are stored, ready before the write lock is taken."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import attrs

from kayak.builtin.directory.row_layout import RowLayout, StoredRows
from kayak.builtin.directory.rows import contents_crc
from kayak.contracts.metadata import metadata_json
from kayak.contracts.store_rows import checked_metadata
from kayak.typing import MetadataRowsInput
from kayak.values import IndexBlock, LateDocuments
from kayak.values.blocks import gathered_block
from kayak.values.conversion import converted_block


@attrs.frozen(eq=False)
class StoredBatch:
    """Documents as they go to disk.

    Attributes:
        doc_ids: their ids.
        vector_dim: dimension of the vectors.
        rows: the token vectors as they lie on disk.
        starts: first row of each document in `rows`.
        counts: token vectors of each document.
        vectors_crcs: CRC-32 of each document's stored bytes.
        contents: (text, metadata as JSON text) of each document.
        contents_crcs: their checksums.
        metadata: the metadata rows.
    """

    doc_ids: tuple[str, ...]
    vector_dim: int
    rows: StoredRows
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
    block = converted_block(
        _filled_block(documents), vector_dtype, documents.doc_ids, "use a store with vector_dtype='float32'"
    )
    vectors = RowLayout(vector_dtype, block.vector_dim).rows(block)
    starts, counts = block.offsets[:-1].tolist(), block.counts.tolist()
    crcs = [zlib.crc32(vectors[start : start + count].data) for start, count in zip(starts, counts, strict=True)]
    contents_crcs = [contents_crc(*pair) for pair in contents]
    return StoredBatch(
        documents.doc_ids, block.vector_dim, vectors, starts, counts, crcs, contents, contents_crcs, rows
    )


def _filled_block(documents: LateDocuments) -> IndexBlock:
    """Return the documents' block, copied where it holds vectors of no document."""
    block = documents.block
    block.verify()
    if block.offsets[0] == 0 and block.offsets[-1] == len(block.vectors):
        return block
    return gathered_block(documents.pack().slices)
