"""MaxSim and document proxies on plain NumPy arrays.

`score(q, d) = Σ_i max_j ⟨q_i, d_j⟩` (Khattab and Zaharia, 2020, ColBERT, equation 3). Document vectors are
taken as one stream of tokens that is cut into groups small enough for the processor's cache. Each group goes
through one matrix product for up to 256 query tokens at a time and through a maximum segmented by document; a
document that crosses groups keeps a running maximum. So working memory does not grow with the vectors, and
documents are read once for a whole batch of queries.

Equal documents must get equal scores wherever they stand, or ties would be broken by rounding. BLAS libraries
compute the edges of a product with other instructions, in another order, than its middle. Products are
therefore always made of whole tiles, by multiplying some more rows and columns than needed and ignoring them.
Where that is not enough (`blas_is_position_invariant`), equal documents are found and given one score.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kayak.builtin._equal_documents import level_equal_documents
from kayak.builtin._token_stream import TILE_ROWS, TokenStream, token_streams
from kayak.typing import VectorMatrix

TILE_COLUMNS = 16
"""Query vectors per product are a multiple of this: whole tiles of the BLAS kernels that have them."""

_TALL_COLUMNS = 32
_MAX_COLUMNS = 256  # products gain nothing from more, and the scores of a group stay in cache


class _QueryPiece(NamedTuple):
    """Query vectors that share one product: whole queries, or a part of one long query."""

    first_query: int
    last_query: int
    vectors: NDArray[np.float32]  # padded to whole tiles; rows from `token_count` on are ignored
    token_count: int
    starts: NDArray[np.int64]  # where each query begins
    opens: bool
    closes: bool


def maxsim_block(
    query_vectors: NDArray[np.float32],
    query_offsets: NDArray[np.int64],
    vectors: VectorMatrix,
    offsets: NDArray[np.int64],
    positions: NDArray[np.int64] | None = None,
    scales: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Score every query of a batch against the documents of one block.

    Args:
        query_vectors: `(query tokens, dim)` float32, C-contiguous; the batch's queries one after the other.
        query_offsets: `(queries + 1,)` int64; query `i` owns rows `query_offsets[i]:query_offsets[i + 1]`,
            at least one.
        vectors: `(tokens, dim)` float32 or float16, finite, C-contiguous, or int8 codes whose rows may lie apart;
            may be a read-only memory map, and unaligned.
        offsets: `(documents + 1,)` int64; document `j` owns rows `offsets[j]:offsets[j + 1]`, at least one.
        positions: `(m,)` int64 numbers of the documents to score, in any order; None scores all, in order.
        scales: `(tokens,)` float32 scales of int8 codes, whose values are codes × scale.

    Returns:
        `(queries, m)` float32 scores, columns in the order of `positions`. Dot products are float32, the sum
        over a query's tokens is float64. Values that overflow come back as infinity or NaN without a warning.
    """
    block: VectorMatrix = np.asarray(vectors)
    pieces = list(_query_pieces(query_vectors, query_offsets))
    selected = len(offsets) - 1 if positions is None else len(positions)
    scores = np.empty((len(query_offsets) - 1, selected), np.float32)
    with np.errstate(all="ignore"):
        for first, stream in token_streams(block, offsets, positions, scales=scales):
            _score_stream(pieces, stream, scores[:, first : first + stream.document_count])
        if not blas_is_position_invariant(block.shape[1]):
            level_equal_documents(scores, block, offsets, positions, scales)
    return scores


def _query_pieces(vectors: NDArray[np.float32], offsets: NDArray[np.int64]) -> Iterator[_QueryPiece]:
    # A query's cuts depend on its own length only, so that its sum is added up alike alone and in a batch.
    first, query_count = 0, len(offsets) - 1
    while first < query_count:
        begin = int(offsets[first])
        last = max(int(np.searchsorted(offsets, begin + _MAX_COLUMNS, side="right")) - 1, first + 1)
        end = int(offsets[last])
        for start in range(begin, end, _MAX_COLUMNS):
            stop = min(start + _MAX_COLUMNS, end)
            padded = -(-(stop - start) // TILE_COLUMNS) * TILE_COLUMNS
            piece = vectors[start : start + padded]
            if len(piece) < padded:
                piece = np.zeros((padded, vectors.shape[1]), np.float32)
                piece[: stop - start] = vectors[start:stop]
            starts = offsets[first:last] - begin if start == begin else np.zeros(1, np.int64)
            yield _QueryPiece(first, last, piece, stop - start, starts, start == begin, stop == end)
        first = last


def _score_stream(pieces: list[_QueryPiece], stream: TokenStream, scores: NDArray[np.float32]) -> None:
    widest = max((len(piece.vectors) for piece in pieces), default=0)
    buffer = np.empty(widest * stream.group_rows, np.float32)
    carried: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(pieces)
    for group in stream.groups():
        totals = np.empty(0)
        for number, piece in enumerate(pieces):
            maxima = _segment_maxima(group.vectors, group.row_count, group.starts, piece, buffer)
            if group.continues:
                np.maximum(maxima[0], carried[number], out=maxima[0])
            if group.unfinished:
                carried[number] = maxima[-1].copy()
            sums = np.add.reduceat(maxima.astype(np.float64, order="C"), piece.starts, axis=1)
            totals = sums if piece.opens else totals + sums
            if piece.closes:
                finished = totals[: group.stop - group.first]
                scores[piece.first_query : piece.last_query, group.first : group.stop] = finished.T


def _segment_maxima(
    rows: NDArray[np.float32],
    row_count: int,
    starts: NDArray[np.int64],
    piece: _QueryPiece,
    buffer: NDArray[np.float32],
) -> NDArray[np.float32]:
    """`(documents, query tokens)`: each query token's best dot product in each document of the group."""
    height, width = len(rows), len(piece.vectors)
    products = buffer[: height * width]
    if width <= _TALL_COLUMNS:
        # For few columns BLAS is half as fast the other way round, which outweighs the slower maximum here.
        tall = products.reshape(height, width)
        np.matmul(rows, piece.vectors.T, out=tall)
        return np.maximum.reduceat(tall[:row_count, : piece.token_count], starts, axis=0)
    wide = products.reshape(width, height)
    np.matmul(piece.vectors, rows.T, out=wide)
    return np.maximum.reduceat(wide[: piece.token_count, :row_count], starts, axis=1).T


@functools.lru_cache(maxsize=256)
def blas_is_position_invariant(dim: int) -> bool:
    """Whether this BLAS rounds a dot product alike at every place of the padded products used here.

    It multiplies copies of one vector with copies of a set of query vectors and compares all results.
    The answer is kept per `dim`. OpenBLAS passes with its kernels for AVX-512, AVX and SSE, and fails with
    those for AVX2 (Haswell, Zen).

    Args:
        dim: Number of components of a vector.
    """
    # Any values whose products round will do; numpy.random would be loaded for nothing else.
    values = np.sin(np.arange((TILE_COLUMNS + 1) * dim, dtype=np.float64) ** 2).astype(np.float32).reshape(-1, dim)
    rows = np.repeat(values[:1], 3 * TILE_ROWS, axis=0)
    columns = values[1:]
    expected = (rows[:TILE_ROWS] @ columns.T)[0]
    tall = rows @ columns.T
    wide = np.tile(columns, (3, 1)) @ rows.T
    return bool((tall == expected).all() and (wide == np.tile(expected, 3)[:, np.newaxis]).all())


def document_proxies(
    vectors: VectorMatrix,
    offsets: NDArray[np.int64],
    budget: int,
    positions: NDArray[np.int64] | None = None,
    scales: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Mean of each document's first vectors, not renormalised.

    Args:
        vectors: `(tokens, dim)` float32 or float16, finite, C-contiguous, or int8 codes whose rows may lie apart;
            may be a read-only memory map, and unaligned.
        offsets: `(documents + 1,)` int64; document `j` owns rows `offsets[j]:offsets[j + 1]`, at least one.
        budget: How many vectors of each document count; 0, or more than it has, means all of them.
        positions: `(m,)` int64 numbers of the documents wanted, in any order; None takes all, in order.
        scales: `(tokens,)` float32 scales of int8 codes, whose values are codes × scale.

    Returns:
        `(m, dim)` float32, summed in float64.
    """
    block: VectorMatrix = np.asarray(vectors)
    selected = len(offsets) - 1 if positions is None else len(positions)
    proxies = np.empty((selected, block.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for first, stream in token_streams(block, offsets, positions, scales=scales, budget=budget):
            carried = np.empty(0)
            for group in stream.groups():
                exact = group.vectors[: group.row_count].astype(np.float64)
                sums = np.add.reduceat(exact, group.starts, axis=0)
                if group.continues:
                    sums[0] += carried
                if group.unfinished:
                    carried = sums[-1].copy()
                counts = np.diff(stream.bounds[group.first : group.stop + 1])
                proxies[first + group.first : first + group.stop] = sums[: len(counts)] / counts[:, np.newaxis]
    return proxies
