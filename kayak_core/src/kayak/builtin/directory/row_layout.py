"""How token vectors lie in the rows of a segment."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from kayak.typing import Float32Vector, VectorMatrix
from kayak.values import IndexBlock
from kayak.values.element_types import INT8

StoredRows = npt.NDArray[np.uint8]
"""Token vectors as they lie on disk, shape (token vectors, `RowLayout.row_bytes`)."""

_ELEMENTS: Final[dict[str, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    INT8: np.dtype("i1"),
}
_SCALE = np.dtype("<f4")


@attrs.frozen
class RowLayout:
    """Rows of one element type and dimension, little-endian.

    A row of int8 is its scale, its codes, and zeros up to a multiple of 4 bytes: one range of a file holds all of a
    document, and every scale is aligned.

    Attributes:
        vector_dtype: stored element type.
        vector_dim: dimension of the vectors.
    """

    vector_dtype: str
    vector_dim: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one token vector."""
        values = self.vector_dim * _ELEMENTS[self.vector_dtype].itemsize
        return values + self._scale_bytes + (-values % _SCALE.itemsize if self._scale_bytes else 0)

    @property
    def _scale_bytes(self) -> int:
        return _SCALE.itemsize if self.vector_dtype == INT8 else 0

    def rows(self, block: IndexBlock) -> StoredRows:
        """Return the vectors of a block of this element type as C-contiguous rows."""
        if block.scales is None:
            vectors = np.ascontiguousarray(block.vectors, dtype=_ELEMENTS[self.vector_dtype])
            return vectors.reshape(-1).view(np.uint8).reshape(len(vectors), self.row_bytes)
        rows = np.zeros((len(block.vectors), self.row_bytes), dtype=np.uint8)
        vectors, scales = self.views(rows)
        vectors[:] = block.vectors
        if scales is not None:
            scales[:] = block.scales
        return rows

    def views(self, rows: StoredRows) -> tuple[VectorMatrix, Float32Vector | None]:
        """Return the vectors, and the scales of int8 codes, as views of C-contiguous rows."""
        if not self._scale_bytes:
            return rows.view(_ELEMENTS[self.vector_dtype]), None
        first, stop = self._scale_bytes, self._scale_bytes + self.vector_dim
        return rows[:, first:stop].view(np.int8), rows[:, :first].view(_SCALE)[:, 0]
