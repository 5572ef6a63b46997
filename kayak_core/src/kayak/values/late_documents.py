"""`LateDocuments`: a batch of documents as token matrices, ready to be packed or stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import attrs
import numpy as np

from kayak.errors import InvalidInputError, InvalidTypeError
from kayak.typing import DocIdsInput, DocumentMatricesInput, Float32Matrix
from kayak.values.blocks import IndexBlock, IndexSlice, gathered_block, offsets_from_counts
from kayak.values.coerce import (
    as_numeric_array,
    check_matrix_shape,
    document_ids,
    first_non_finite_row,
    not_finite_error,
    optional_texts,
)
from kayak.values.late_index import LateIndex
from kayak.values.layouts import PACKED_LAYOUT


@attrs.frozen(eq=False, repr=False, slots=False)
class LateDocuments:
    """Documents with their token vectors, and optionally their texts and metadata.

    Build a batch with `kayak.documents(doc_ids, token_vectors)`. The vectors are copied once, into one block;
    `pack()` shares that block.

    Attributes:
        doc_ids: unique, non-empty ids.
        block: the token vectors of all documents, one below the other (float32, or the element type of the store
            that exported them).
        texts: one text (or None) a document; None where no document has one.
        metadata: one metadata row a document, where the batch carries them (a store's export does).
    """

    doc_ids: tuple[str, ...]
    block: IndexBlock
    texts: tuple[str | None, ...] | None = None
    metadata: tuple[Mapping[str, Any], ...] | None = None

    @classmethod
    def from_inputs(
        cls,
        doc_ids: DocIdsInput,
        token_vectors: DocumentMatricesInput,
        *,
        texts: Sequence[str | None] | None = None,
    ) -> LateDocuments:
        """Build a batch from ids and one token matrix a document; see `kayak.documents`."""
        ids = document_ids(doc_ids)
        if isinstance(token_vectors, (str, bytes, Mapping)) or not hasattr(token_vectors, "__len__"):
            raise InvalidTypeError(f"token_vectors must be a sequence of matrices, got {type(token_vectors).__name__}")
        if len(token_vectors) != len(ids):
            raise InvalidInputError(
                f"{len(token_vectors)} token matrices for {len(ids)} doc_ids; give one matrix a document"
            )
        if not ids:
            raise InvalidInputError("a batch of documents needs at least one document, got none")
        return cls(ids, _packed_block(ids, token_vectors), optional_texts(texts, ids, "texts"))

    @property
    def document_count(self) -> int:
        """Number of documents."""
        return len(self.doc_ids)

    @property
    def total_vector_count(self) -> int:
        """Number of token vectors of all documents."""
        return int(self.block.offsets[-1] - self.block.offsets[0])

    @property
    def vector_dim(self) -> int:
        """Dimension of each token vector."""
        return self.block.vector_dim

    @cached_property
    def vector_counts(self) -> tuple[int, ...]:
        """Number of token vectors of each document."""
        return tuple(self.block.counts.tolist())

    @cached_property
    def token_matrices(self) -> tuple[Float32Matrix, ...]:
        """One read-only float32 matrix of shape (token vectors, dimension) a document: views of one block."""
        self.block.verify()
        vectors = self.block.float32_rows(slice(None)).view()
        vectors.flags.writeable = False
        bounds = self.block.offsets.tolist()
        return tuple(vectors[start:stop] for start, stop in pairwise(bounds))

    def with_texts(self, texts: Sequence[str | None] | None) -> LateDocuments:
        """Return the same documents with other texts, sharing the vectors.

        Raises:
            InvalidTypeError: a text is no string.
            InvalidInputError: not one text a document.
        """
        return attrs.evolve(self, texts=optional_texts(texts, self.doc_ids, "texts"))

    def take(self, numbers: Sequence[int]) -> LateDocuments:
        """Return the documents with the given numbers, in that order, as a batch of their own (a copy).

        The element type of the vectors stays what it is.
        """
        chosen = np.array(numbers, dtype=np.int64)
        return LateDocuments(
            tuple(self.doc_ids[i] for i in numbers),
            gathered_block([IndexSlice(self.block, chosen, np.arange(len(chosen)))]),
            None if self.texts is None else tuple(self.texts[i] for i in numbers),
            None if self.metadata is None else tuple(self.metadata[i] for i in numbers),
        )

    def pack(self) -> LateIndex:
        """Return a packed index over the same memory."""
        rows = np.arange(self.document_count, dtype=np.int64)
        return LateIndex(self.doc_ids, (IndexSlice(self.block, None, rows),), PACKED_LAYOUT, self.texts)

    def to_layout(self, layout: str) -> LateIndex:
        """Pack the documents into an index of the given layout, sharing the vectors.

        Raises:
            InvalidInputError: the layout is unknown, or flat with a dimension other than 128.
        """
        return self.pack().to_layout(layout)

    def __len__(self) -> int:
        return self.document_count

    def __repr__(self) -> str:
        return (
            f"LateDocuments({self.document_count} documents, {self.total_vector_count} vectors × "
            f"{self.vector_dim}{', with texts' if self.texts else ''})"
        )


def _packed_block(ids: tuple[str, ...], matrices: DocumentMatricesInput) -> IndexBlock:
    arrays = []
    counts = np.empty(len(matrices), dtype=np.int64)
    dim = -1
    for number, matrix in enumerate(matrices):
        array = (
            matrix
            if type(matrix) is np.ndarray and matrix.dtype == np.float32
            else as_numeric_array(matrix, f"document {ids[number]!r}")
        )
        shape = array.shape
        if len(shape) != 2 or not shape[0] or not shape[1]:
            check_matrix_shape(array, f"document {ids[number]!r}")
        if shape[1] != dim:
            if dim >= 0:
                raise InvalidInputError(
                    f"document {ids[number]!r} has vectors of dimension {shape[1]}, but document {ids[0]!r} has "
                    f"{dim}; one collection holds one dimension"
                )
            dim = shape[1]
        counts[number] = shape[0]
        arrays.append(array)
    offsets = offsets_from_counts(counts)
    vectors = np.empty((int(offsets[-1]), dim), dtype=np.float32)
    with np.errstate(over="ignore"):  # values beyond float32 become infinite and are reported below
        np.concatenate(arrays, out=vectors, casting="unsafe")
    row = first_non_finite_row(vectors)
    if row is not None:
        number = int(np.searchsorted(offsets, row, side="right")) - 1
        raise not_finite_error(f"document {ids[number]!r}", row - int(offsets[number]))
    vectors.flags.writeable = False
    return IndexBlock(offsets, vectors)


def documents(
    doc_ids: DocIdsInput,
    token_vectors: DocumentMatricesInput,
    *,
    texts: Sequence[str | None] | None = None,
) -> LateDocuments:
    """Build a batch of documents from their token vectors.

    Args:
        doc_ids: unique, non-empty ids.
        token_vectors: one matrix of shape (token vectors ≥ 1, dimension) a document, all of one dimension, finite;
            NumPy, torch, DLPack or nested lists. Copied once, as float32.
        texts: one text a document, where later stages or readers need them.

    Raises:
        InvalidTypeError: ids or texts that are not strings, values that are not numeric.
        InvalidInputError: misaligned lengths, repeated or empty ids, a malformed matrix; the message names the
            document.
    """
    return LateDocuments.from_inputs(doc_ids, token_vectors, texts=texts)
