"""How work is handed to the kernels: queries as panels, scratch memory, and the documents in pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from kayak.typing import Float32Matrix, Int64Vector

from kayak_mojo.threads import Piece

Float32Array = npt.NDArray[np.float32]

_CACHE_LINE = 64
_FLOAT_BYTES = 4


def aligned_floats(size: int) -> tuple[Float32Array, int]:
    """Return uninitialised float32 that starts at a cache line, so that no vector load crosses one, and its address."""
    spare = np.empty(size + _CACHE_LINE // _FLOAT_BYTES, dtype=np.float32)
    address = spare.ctypes.data
    skipped = -address % _CACHE_LINE
    first = skipped // _FLOAT_BYTES
    return spare[first : first + size], address + skipped


def pack_panels(vectors: Float32Matrix, width: int) -> tuple[Float32Array, int, int]:
    """Put query vectors side by side, `width` in a panel.

    Args:
        vectors: shape (query vectors, dimension).
        width: vectors in a panel.

    Returns:
        Float32 of shape (panels, dimension, width), its address, and the address of panels × width more floats that a
        kernel may write to, which live as long as the panels do. A row of a panel holds one component of all its
        vectors, so that a kernel computes with `width` query vectors at a time. The last panel is filled up with zero
        columns.
    """
    count, dim = vectors.shape
    whole, rest = divmod(count, width)
    columns = (whole + (rest > 0)) * width
    memory, address = aligned_floats(columns * (dim + 1))
    panels = memory[: columns * dim].reshape(-1, dim, width)
    if whole:
        panels[:whole] = vectors[: whole * width].reshape(whole, width, dim).transpose(0, 2, 1)
    if rest:
        panels[whole, :, :rest] = vectors[whole * width :].T
        panels[whole, :, rest:] = 0.0
    return panels, address, address + panels.nbytes


def running_counts(offsets: Int64Vector, positions: Int64Vector | None) -> Int64Vector:
    """Return how many vectors there are before each document to score, and before the end: int64, documents + 1.

    Args:
        offsets: int64, documents of the block + 1; document i owns rows `offsets[i]` to `offsets[i + 1]`.
        positions: numbers of the documents to score; None means all.
    """
    if positions is None:
        return offsets
    counts = np.zeros(len(positions) + 1, dtype=np.int64)
    np.add.accumulate(offsets[positions + 1] - offsets[positions], out=counts[1:])
    return counts


def split_documents(counts: Int64Vector, pieces: int) -> list[Piece]:
    """Split documents into at most `pieces` runs of about equally many vectors.

    Args:
        counts: from `running_counts`.
        pieces: how many runs are wanted.
    """
    step = (int(counts[-1]) - int(counts[0])) / pieces
    cuts = np.searchsorted(counts, int(counts[0]) + np.arange(1, pieces) * step)
    return list(pairwise(sorted({0, *cuts.tolist(), len(counts) - 1})))
