"""Blocks: the immutable pieces of token vectors that an index is made of."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TypeAlias

import attrs
import numpy as np

from kayak.errors import InvalidInputError
from kayak.typing import Float32Matrix, Int64Vector, VectorMatrix

BlockGuard: TypeAlias = Callable[[Int64Vector | None], None]


@attrs.frozen(eq=False, repr=False)
class IndexBlock:
    """Documents whose token vectors lie one below the other in one matrix.

    Like an Arrow chunk or a Lucene segment: immutable, and possibly a read-only memory map.

    Attributes:
        offsets: int64, documents + 1 ascending values; document i owns rows `offsets[i]` to `offsets[i + 1]`.
        vectors: float32 or float16, shape (token vectors, dimension).
        guard: called with the documents about to be read (None: all of them) before their vectors are used;
            a store verifies its checksums there. Code that takes `vectors` directly skips that check.
    """

    offsets: Int64Vector
    vectors: VectorMatrix
    guard: BlockGuard | None = None

    @property
    def document_count(self) -> int:
        """Number of documents in the block."""
        return len(self.offsets) - 1

    @property
    def vector_dim(self) -> int:
        """Dimension of each token vector."""
        return int(self.vectors.shape[1])

    @property
    def vector_dtype(self) -> str:
        """Stored element type: "float32" or "float16"."""
        return str(self.vectors.dtype)

    @property
    def is_memory_mapped(self) -> bool:
        """Whether the vectors lie in a file that is mapped, and are read when they are first used."""
        memory: object = self.vectors
        while isinstance(memory, np.ndarray):
            memory = memory.base
        return isinstance(memory, mmap.mmap)

    @property
    def counts(self) -> Int64Vector:
        """Number of token vectors of each document, int64."""
        return np.diff(self.offsets)

    def counts_of(self, positions: Int64Vector) -> Int64Vector:
        """Return the number of token vectors of some documents, int64, at the cost of these documents alone."""
        return self.offsets[positions + 1] - self.offsets[positions]

    def verify(self, positions: Int64Vector | None = None) -> None:
        """Let the owner of the memory check the documents that are about to be read.

        Raises:
            StoreCorruptError: stored bytes do not match their checksum.
        """
        if self.guard is not None:
            self.guard(positions)

    def document(self, position: int) -> Float32Matrix:
        """Return the token vectors of one document as read-only float32, shape (vectors, dimension)."""
        self.verify(np.array([position], dtype=np.int64))
        matrix = np.asarray(self.vectors[self.offsets[position] : self.offsets[position + 1]], dtype=np.float32)
        view = matrix.view()
        view.flags.writeable = False
        return view


@attrs.frozen(eq=False, repr=False)
class IndexSlice:
    """The documents of one block that belong to an index, and where they stand in it.

    Attributes:
        block: the block that holds the vectors.
        positions: int64 document numbers within the block; None means all, in order.
        rows: int64 document numbers within the index, aligned with the positions.
    """

    block: IndexBlock
    positions: Int64Vector | None
    rows: Int64Vector

    @property
    def counts(self) -> Int64Vector:
        """Number of token vectors of each document of the slice, int64."""
        return self.block.counts if self.positions is None else self.block.counts_of(self.positions)

    @property
    def byte_size(self) -> int:
        """Bytes of the slice's vectors as they are stored."""
        return int(self.counts.sum()) * self.block.vector_dim * self.block.vectors.dtype.itemsize

    def take(self, members: Int64Vector, rows: Int64Vector) -> IndexSlice:
        """Return the slice of `members` (numbers within this slice), standing at `rows` of another index."""
        return IndexSlice(self.block, members if self.positions is None else self.positions[members], rows)


def offsets_from_counts(counts: Int64Vector) -> Int64Vector:
    """Return read-only int64 offsets (documents + 1) from token vector counts."""
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    offsets.flags.writeable = False
    return offsets


def gather_rows(block: IndexBlock, positions: Int64Vector) -> Int64Vector:
    """Return the token row numbers of the given documents, one document after the other, int64."""
    counts = block.counts_of(positions)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    rows = np.arange(total, dtype=np.int64)
    rows += np.repeat(block.offsets[positions] - (ends - counts), counts)
    return rows


def check_offsets(offsets: Int64Vector, document_count: int, token_count: int) -> None:
    """Require offsets that split `token_count` rows into `document_count` non-empty documents.

    Raises:
        InvalidInputError: wrong length, not starting at 0, not ending at the row count, or an empty document.
    """
    if len(offsets) != document_count + 1:
        raise InvalidInputError(
            f"doc_offsets has {len(offsets)} entries for {document_count} documents; expected documents + 1"
        )
    if offsets[0] != 0 or offsets[-1] != token_count:
        raise InvalidInputError(
            f"doc_offsets must run from 0 to the number of token vectors ({token_count}), "
            f"got {int(offsets[0])} to {int(offsets[-1])}"
        )
    empty = np.flatnonzero(np.diff(offsets) <= 0)
    if len(empty):
        raise InvalidInputError(
            f"doc_offsets gives document {int(empty[0])} no token vectors; offsets must ascend strictly"
        )
