"""Checks of what kernels are given: they trust it, and would read or write outside of an array that does not fit."""

from __future__ import annotations

import weakref
from itertools import pairwise

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Int64Vector, VectorMatrix

_INT64 = np.dtype(np.int64)
_checked: weakref.WeakSet[kayak.IndexBlock] = weakref.WeakSet()


def readable_int64(array: Int64Vector) -> Int64Vector:
    """Return int64 that a kernel can read: the array itself, or a copy where it is strided or unaligned."""
    flags = array.flags
    if array.dtype == _INT64 and flags.c_contiguous and flags.aligned:
        return array
    copy: Int64Vector = np.require(array, np.int64, ("C", "A"))
    return copy


def readable_rows(vectors: VectorMatrix) -> VectorMatrix:
    """Return documents that a kernel can read: themselves, or a copy where elements are strided.

    Rows of int8 may lie apart, as they do in a file between their scales.
    """
    if vectors.flags.c_contiguous or (vectors.dtype == np.int8 and vectors.strides[1] == 1):
        return vectors
    return np.ascontiguousarray(vectors)


def check_queries(query_vectors: Float32Matrix, query_offsets: Int64Vector, vectors: VectorMatrix) -> None:
    """Require queries and documents that kernels can read together.

    Raises:
        InvalidInputError: queries of another element type, different dimensions, or offsets that do not split the
            query vectors.
    """
    if query_vectors.dtype != np.float32:  # blocks see to their own element types
        raise kayak.InvalidInputError(f"expected float32 queries in native byte order, got {query_vectors.dtype.str!r}")
    if query_vectors.shape[1] != vectors.shape[1]:
        raise kayak.InvalidInputError(
            f"the query has dimension {query_vectors.shape[1]}, but the block has {vectors.shape[1]}; encode both with "
            "the same encoder"
        )
    bounds = query_offsets.tolist()
    if bounds[0] != 0 or bounds[-1] != len(query_vectors) or any(a >= b for a, b in pairwise(bounds)):
        raise kayak.InvalidInputError(
            f"query_offsets must ascend strictly from 0 to the {len(query_vectors)} query vectors, got {bounds}"
        )


def check_offsets(block: kayak.IndexBlock, offsets: Int64Vector) -> None:
    """Require that every document of a block lies inside it; blocks never change, so each is looked at once.

    Raises:
        InvalidInputError: a document is empty, or lies outside of the block.
    """
    if block in _checked:
        return
    count = len(block.vectors)
    if offsets[0] < 0 or offsets[-1] > count or not (offsets[1:] > offsets[:-1]).all():
        raise kayak.InvalidInputError(
            f"the block's offsets must ascend strictly within its {count} vectors, so that no document is empty or "
            "lies outside of it"
        )
    _checked.add(block)


def check_positions(positions: Int64Vector, document_count: int) -> None:
    """Require numbers of documents.

    Raises:
        InvalidInputError: a position is negative, or no document.
    """
    if len(positions) and int(positions.view(np.uint64).max()) >= document_count:  # a negative one becomes huge
        raise kayak.InvalidInputError(
            f"positions must number documents of the block from 0 to {document_count - 1}, got {int(positions.min())} "
            f"to {int(positions.max())}"
        )
