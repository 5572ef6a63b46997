"""Blocks: the immutable pieces of token vectors that an index is made of."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np

from kayak.errors import InvalidInputError
from kayak.typing import Float32Matrix, Float32Vector, Int64Vector, VectorMatrix
from kayak.values.element_types import VECTOR_DTYPES, decode_int8

BlockGuard: TypeAlias = Callable[[Int64Vector | None], None]


@attrs.frozen(eq=False, repr=False)
class IndexBlock:
    """Documents whose token vectors lie one below the other in one matrix.

    Like an Arrow chunk or a Lucene segment: immutable, and possibly a read-only memory map.

    Attributes:
        offsets: int64, documents + 1 ascending values; document i owns rows `offsets[i]` to `offsets[i + 1]`.
        vectors: float32, float16, or int8 codes; shape (token vectors, dimension). Codes are no values: read
            `float32_rows` or `document`, which know every element type.
        guard: called with the documents about to be read (None: all of them) before their vectors are used;
            a store verifies its checksums there. Code that takes `vectors` directly skips that check.
        scales: for int8 codes, one float32 a token vector: the values are codes × scale. None for other types.

    Raises:
        InvalidInputError: another element type, int8 codes without scales, scales without codes, or scales of another
            type or length.
    """

    offsets: Int64Vector
    vectors: VectorMatrix
    guard: BlockGuard | None = None
    scales: Float32Vector | None = None

    def __attrs_post_init__(self) -> None:
        scales = self.scales
        if str(self.vectors.dtype) not in VECTOR_DTYPES or (scales is None) == (self.vectors.dtype == np.int8):
            raise InvalidInputError(
                f"a block holds float32 or float16 vectors in native byte order, or int8 codes with their scales, got "
                f"{self.vectors.dtype.str} {'without' if scales is None else 'with'} scales"
            )
        if scales is None:
            return
        if scales.dtype != np.float32 or scales.shape != self.vectors.shape[:1]:
            raise InvalidInputError(
                f"scales must be float32 of shape {self.vectors.shape[:1]}, one a token vector, got {scales.dtype} of "
                f"shape {scales.shape}"
            )

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
        """Stored element type: "float32", "float16" or "int8"."""
        return str(self.vectors.dtype)

    @property
    def vector_bytes(self) -> int:
        """Bytes of one token vector as it is stored, its scale included."""
        return self.vector_dim * self.vectors.dtype.itemsize + (0 if self.scales is None else self.scales.itemsize)

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
        view = self.float32_rows(slice(int(self.offsets[position]), int(self.offsets[position + 1]))).view()
        view.flags.writeable = False
        return view

    def float32_rows(self, rows: slice | Int64Vector) -> Float32Matrix:
        """Return some token vectors as the float32 values that they stand for, shape (rows, dimension).

        Nothing is verified: call `verify` for the documents first. A slice of float32 vectors is a view.

        Args:
            rows: which token vectors, by a slice or by int64 numbers.
        """
        if self.scales is not None:
            codes: Any = self.vectors[rows]
            return decode_int8(codes, self.scales[rows])
        values: Float32Matrix = np.asarray(self.vectors[rows], dtype=np.float32)
        return values


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
        return int(self.counts.sum()) * self.block.vector_bytes

    @property
    def places(self) -> Int64Vector:
        """The positions, int64, also where the slice takes all documents."""
        return np.arange(self.block.document_count) if self.positions is None else self.positions

    def token_rows(self) -> Int64Vector:
        """Return the token row numbers of the slice's documents in its block, one document after the other, int64."""
        return gather_rows(self.block, self.places)

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


def gathered_block(slices: Sequence[IndexSlice], *, float32: bool = False) -> IndexBlock:
    """Copy the documents of slices into one read-only block, each at its row, after verifying them.

    Args:
        slices: their rows together number the documents from 0.
        float32: return float32 values; otherwise the element type is kept where the slices agree on one.

    Raises:
        StoreCorruptError: stored vectors do not match their checksum.
    """
    counts = np.empty(sum(len(part.rows) for part in slices), dtype=np.int64)
    for part in slices:
        counts[part.rows] = part.counts
    offsets = offsets_from_counts(counts)
    first = slices[0].block
    total, shape = int(offsets[-1]), (int(offsets[-1]), first.vector_dim)
    as_float32 = float32 or any(part.block.vectors.dtype != first.vectors.dtype for part in slices)
    vectors: VectorMatrix = np.empty(shape, dtype=np.float32 if as_float32 else first.vectors.dtype)
    scales = None if as_float32 or first.scales is None else np.empty(total, dtype=np.float32)
    target = IndexBlock(offsets, vectors, None, scales)
    for part in slices:
        block = part.block
        block.verify(part.positions)
        to_rows, from_rows = gather_rows(target, part.rows), part.token_rows()
        vectors[to_rows] = block.float32_rows(from_rows) if as_float32 else block.vectors[from_rows]
        if scales is not None and block.scales is not None:
            scales[to_rows] = block.scales[from_rows]
    for array in (vectors, scales):
        if array is not None:
            array.flags.writeable = False
    return target


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
