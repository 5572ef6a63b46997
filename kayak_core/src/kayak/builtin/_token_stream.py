"""The vectors of selected documents as one stream of tokens, served in cache-sized groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kayak.typing import VectorMatrix
from kayak.values.element_types import decode_int8

TILE_ROWS = 192
"""Groups are padded to a multiple of this many rows: whole tiles, and too many for the kernels of small products."""

# A tenth slower than smaller groups on idle cores, but several times faster where BLAS threads wait for a core.
_GROUP_ROWS = 42 * TILE_ROWS
_GROUP_VALUES = 1 << 21  # bounds a group's memory when vectors are long
_STREAM_DOCUMENTS = 1 << 18  # bounds the memory for positions

_HALF_BITS = np.int32(0x8FFFE000 - (1 << 32))
_HALF_SCALE = np.float32(2.0 ** (127 - 15))


class TokenGroup(NamedTuple):
    """Consecutive tokens of a stream.

    Attributes:
        vectors: `(padded rows, dim)` float32; rows from `row_count` on belong to nobody.
        row_count: Tokens in the group.
        starts: First row of each document, or of the part of it that is here.
        first: The stream's first document whose last token is here.
        stop: One past the stream's last document whose last token is here.
        continues: Whether the first segment carries on a document of the group before.
        unfinished: Whether the last segment goes on in the group after.
    """

    vectors: NDArray[np.float32]
    row_count: int
    starts: NDArray[np.int64]
    first: int
    stop: int
    continues: bool
    unfinished: bool


class TokenStream:
    """Tokens of some documents of a block, in the order of the documents.

    Groups are views of the block where they can be, and otherwise copies in a scratch array that the next
    group overwrites: for scattered documents, float16, int8, unaligned memory, and the block's end, where
    padding is added.

    Attributes:
        bounds: `(documents + 1,)` int64 boundaries of the documents in the stream.
        document_count: Number of documents.
        group_rows: Greatest number of rows that a group has, padding included.
    """

    def __init__(
        self,
        block: VectorMatrix,
        scales: NDArray[np.float32] | None,
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        self.bounds = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(counts, out=self.bounds[1:])
        self.document_count = len(starts)
        dim = block.shape[1]
        longest = max(_GROUP_VALUES // dim, TILE_ROWS)
        needed = -(-int(self.bounds[-1]) // TILE_ROWS) * TILE_ROWS
        self.group_rows = min(_GROUP_ROWS, longest // TILE_ROWS * TILE_ROWS, needed)
        self._block: NDArray[Any] = block
        self._scales = scales
        self._shifts = starts - self.bounds[:-1]  # from a place in the stream to a row of the block
        self._usable_in_place = block.dtype == np.float32 and block.flags.aligned
        self._scratch = np.empty((self.group_rows, dim), np.float32)
        shares = block.dtype == np.float32 or scales is not None
        self._gathered = self._scratch if shares else np.empty_like(self._scratch, block.dtype)

    def groups(self) -> Iterator[TokenGroup]:
        """Serve the stream; a group's vectors are valid until the next is asked for."""
        bounds, total = self.bounds, int(self.bounds[-1])
        for begin in range(0, total, self.group_rows or 1):
            end = min(begin + self.group_rows, total)
            first = int(np.searchsorted(bounds, begin, side="right")) - 1
            last = int(np.searchsorted(bounds, end, side="left"))
            unfinished = bool(bounds[last] > end)
            starts = bounds[first:last] - begin
            continues = bool(starts[0] < 0)
            starts[0] = 0
            yield TokenGroup(
                self._rows(begin, end, first, last),
                end - begin,
                starts,
                first,
                last - unfinished,
                continues,
                unfinished,
            )

    def _rows(self, begin: int, end: int, first: int, last: int) -> NDArray[np.float32]:
        count = end - begin
        padded = -(-count // TILE_ROWS) * TILE_ROWS
        shifts = self._shifts[first:last]
        row = begin + int(shifts[0])
        if (shifts == shifts[0]).all():
            if self._usable_in_place and row + padded <= len(self._block):
                return self._block[row : row + padded].view(np.float32)
            if self._scales is None:
                _copy_as_float32(self._block[row : row + count], self._scratch[:count])
            else:
                decode_int8(self._block[row : row + count], self._scales[row : row + count], self._scratch[:count])
        else:
            edges = np.clip(self.bounds[first : last + 1], begin, end)
            index = np.repeat(shifts, np.diff(edges))
            index += np.arange(begin, end)
            self._gather(index, count)
        self._scratch[count:padded] = 0.0
        return self._scratch[:padded]

    def _gather(self, index: NDArray[np.int64], count: int) -> None:
        if self._scales is not None:
            # Not `take`: codes lie between their scales, and it would first copy the whole of a strided block.
            decode_int8(self._block[index], self._scales[index], self._scratch[:count])
        else:
            # As bytes: `take` would first copy the whole of an unaligned block. With `clip` it writes to
            # `out` directly.
            np.take(self._block.view(np.uint8), index, 0, self._gathered[:count].view(np.uint8), mode="clip")
            if self._gathered is not self._scratch:
                _copy_as_float32(self._gathered[:count], self._scratch[:count])


def _copy_as_float32(source: NDArray[Any], target: NDArray[np.float32]) -> None:
    """Copy finite values, exactly; float16 a few times faster than NumPy converts it one by one."""
    if source.dtype != np.float16:
        np.copyto(target, source)
        return
    # IEEE 754: move the sign and the rest to their places in 32 bits, then correct the exponent's bias, which
    # is 127 there and 15 here.
    bits = target.view(np.int32)
    np.copyto(bits, source.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, _HALF_BITS, out=bits)
    np.multiply(target, _HALF_SCALE, out=target)


def token_streams(
    block: VectorMatrix,
    offsets: NDArray[np.int64],
    positions: NDArray[np.int64] | None,
    *,
    scales: NDArray[np.float32] | None = None,
    budget: int = 0,
) -> Iterator[tuple[int, TokenStream]]:
    """Cut a selection into streams whose bookkeeping stays small.

    Args:
        block: `(tokens, dim)` vectors, or int8 codes.
        offsets: `(documents + 1,)` int64 rows where documents begin and end.
        positions: Document numbers in the order wanted, or None for all.
        scales: `(tokens,)` scales of int8 codes.
        budget: Take at most this many vectors from the start of each document; 0 takes all.

    Yields:
        The place of a stream's first document in the selection, and the stream.
    """
    selected = len(offsets) - 1 if positions is None else len(positions)
    for first in range(0, selected, _STREAM_DOCUMENTS):
        stop = min(first + _STREAM_DOCUMENTS, selected)
        chosen = slice(first, stop) if positions is None else positions[first:stop]
        starts = offsets[:-1][chosen]
        counts = offsets[1:][chosen] - starts
        if budget > 0:
            np.minimum(counts, budget, out=counts)
        yield first, TokenStream(block, scales, starts, counts)
