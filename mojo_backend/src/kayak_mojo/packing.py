"""How queries and documents are handed to the kernels: panels of query vectors, and pieces of the documents."""

from __future__ import annotations

from itertools import pairwise

import kayak
import numpy as np
import numpy.typing as npt
from kayak.typing import Float32Matrix, Int64Vector, VectorMatrix

from kayak_mojo.threads import Piece

_CACHE_LINE = 64
_FLOAT_BYTES = 4
_ELEMENT_TYPES = (np.dtype(np.float32), np.dtype(np.float16))


def aligned_empty(size: int) -> npt.NDArray[np.float32]:
    """Return uninitialised float32 that starts at a cache line, so that no vector load crosses one."""
    spare = np.empty(size + _CACHE_LINE // _FLOAT_BYTES, dtype=np.float32)
    skipped = -spare.ctypes.data % _CACHE_LINE // _FLOAT_BYTES
    return spare[skipped : skipped + size]


def pack_panels(vectors: Float32Matrix, width: int) -> npt.NDArray[np.float32]:
    """Put query vectors side by side, `width` in a panel.

    Args:
        vectors: shape (query vectors, dimension).
        width: vectors in a panel.

    Returns:
        Shape (panels, dimension, width): a row of a panel holds one component of all its vectors, so that a kernel
        computes with `width` query vectors at a time. The last panel is filled up with zero columns.
    """
    count, dim = vectors.shape
    whole, rest = divmod(count, width)
    panels = aligned_empty((whole + (rest > 0)) * dim * width).reshape(-1, dim, width)
    if whole:
        panels[:whole] = vectors[: whole * width].reshape(whole, width, dim).transpose(0, 2, 1)
    if rest:
        panels[whole, :, :rest] = vectors[whole * width :].T
        panels[whole, :, rest:] = 0.0
    return panels


def require_fitting(query_vectors: Float32Matrix, query_offsets: Int64Vector, vectors: VectorMatrix) -> None:
    """Require queries and documents that kernels can read together; they trust what they are given.

    Raises:
        InvalidInputError: wrong element type, different dimensions, or offsets that do not split the query vectors.
    """
    if vectors.dtype not in _ELEMENT_TYPES or query_vectors.dtype != np.float32:
        raise kayak.InvalidInputError(
            f"expected float32 queries and float32 or float16 documents in native byte order, got "
            f"{query_vectors.dtype.str!r} and {vectors.dtype.str!r}"
        )
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


def document_ends(offsets: Int64Vector, positions: Int64Vector | None, vector_count: int) -> Int64Vector:
    """Return how many document vectors there are up to the end of each document to score.

    Kernels trust what they are given, so this also makes sure that every document lies inside the block.

    Args:
        offsets: int64, documents + 1; document i owns rows `offsets[i]` to `offsets[i + 1]`.
        positions: numbers of the documents to score; None means all.
        vector_count: rows of the block.

    Raises:
        InvalidInputError: a document is empty or lies outside of the block, or a position is no document.
    """
    if positions is None:
        if offsets[0] < 0 or offsets[-1] > vector_count or not (offsets[1:] > offsets[:-1]).all():
            raise _misplaced(vector_count)
        ends: Int64Vector = offsets[1:] - offsets[0]
        return ends
    documents = len(offsets) - 1
    if len(positions) == 0:
        return positions
    if positions.min() < 0 or positions.max() >= documents:
        raise kayak.InvalidInputError(
            f"positions must number documents of the block from 0 to {documents - 1}, got {int(positions.min())} to "
            f"{int(positions.max())}"
        )
    starts, stops = offsets[positions], offsets[positions + 1]
    counts = stops - starts
    if starts.min() < 0 or stops.max() > vector_count or counts.min() < 1:
        raise _misplaced(vector_count)
    return np.cumsum(counts)


def split_documents(ends: Int64Vector, pieces: int) -> list[Piece]:
    """Split documents into at most `pieces` runs of about equally many vectors.

    Args:
        ends: from `document_ends`.
        pieces: how many runs are wanted.
    """
    cuts = np.searchsorted(ends, np.arange(1, pieces) * (int(ends[-1]) / pieces))
    bounds = sorted({0, *cuts.tolist(), len(ends)})
    return list(pairwise(bounds))


def _misplaced(vector_count: int) -> kayak.InvalidInputError:
    return kayak.InvalidInputError(
        f"the block's offsets must ascend strictly within its {vector_count} vectors, so that no document is empty or "
        "lies outside of it"
    )
