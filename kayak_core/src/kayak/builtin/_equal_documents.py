"""One score for equal documents, where the matrix product does not give it by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kayak.typing import VectorMatrix

_ROW_SAMPLE_BYTES = 64  # a cache line of a vector tells most documents apart; the full comparison follows
_COMPARED_BYTES = 1 << 22
_SAMPLED_ROWS = 1 << 14


def level_equal_documents(
    scores: NDArray[np.float32],
    vectors: VectorMatrix,
    offsets: NDArray[np.int64],
    positions: NDArray[np.int64] | None,
    scales: NDArray[np.float32] | None = None,
) -> None:
    """Give every document the scores of the first selected document whose vectors are the same bytes.

    Documents with the same number of vectors and the same sampled bytes are candidates; whether they are
    equal is decided by comparing all their bytes. Needs about 70 bytes of working memory a document.

    Args:
        scores: `(queries, m)` float32, changed in place.
        vectors: `(tokens, dim)`, rows contiguous.
        offsets: `(documents + 1,)` int64 rows where documents begin and end.
        positions: `(m,)` numbers of the scored documents, or None for all in order.
        scales: `(tokens,)` scales of int8 codes; equal documents have equal ones too.
    """
    content = vectors.view(np.uint8)
    starts = offsets[:-1] if positions is None else offsets[:-1][positions]
    counts = np.diff(offsets) if positions is None else offsets[1:][positions] - starts
    columns = np.arange(len(starts))
    keys = counts.astype(np.uint64)
    for row in (0 * counts, counts - 1, counts // 2):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + _sampled(content, starts[columns] + row[columns])
        keys, columns = _repeated(keys, columns)
    while len(columns):
        opens = np.concatenate([[True], keys[1:] != keys[:-1]])
        leaders = columns[np.maximum.accumulate(np.where(opens, np.arange(len(columns)), 0))]
        equal = _equal_content(content, scales, starts[leaders], starts[columns], counts[leaders], counts[columns])
        scores[:, columns[equal]] = scores[:, leaders[equal]]
        keys, columns = _repeated(keys[~equal], columns[~equal])


def _repeated(keys: NDArray[np.uint64], columns: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Keep what shares its key with another, sorted by key and then column."""
    order = np.argsort(keys)
    ordered = keys[order]
    repeated = np.zeros(len(keys), np.bool_)
    same = ordered[1:] == ordered[:-1]
    repeated[1:] = same
    repeated[:-1] |= same
    kept = order[repeated]
    kept = kept[np.lexsort((columns[kept], keys[kept]))]
    return keys[kept], columns[kept]


def _sampled(content: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Mix the leading bytes of each row into one number."""
    width = min(content.shape[1], _ROW_SAMPLE_BYTES)
    leading = content[:, :width]
    weights = np.random.default_rng(1).integers(1, 1 << 63, -(-width // 8), np.uint64) | np.uint64(1)
    mixed = np.empty(len(rows), np.uint64)
    for begin in range(0, len(rows), _SAMPLED_ROWS):
        chosen = rows[begin : begin + _SAMPLED_ROWS]
        words = np.zeros((len(chosen), len(weights)), np.uint64)
        words.view(np.uint8)[:, :width] = leading[chosen]
        words ^= words >> np.uint64(29)
        mixed[begin : begin + _SAMPLED_ROWS] = words @ weights
    return mixed ^ (mixed >> np.uint64(32))


def _equal_content(
    content: NDArray[np.uint8],
    scales: NDArray[np.float32] | None,
    starts: NDArray[np.int64],
    other_starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    other_counts: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Compare pairs of documents byte by byte, some megabytes at a time."""
    equal: NDArray[np.bool_] = counts == other_counts
    lengths = np.where(equal & (starts != other_starts), counts, 0)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    step = max(_COMPARED_BYTES // content.shape[1], 1)
    for begin in range(0, int(bounds[-1]), step):
        end = min(begin + step, int(bounds[-1]))
        first = int(np.searchsorted(bounds, begin, side="right")) - 1
        last = int(np.searchsorted(bounds, end, side="left"))
        here = np.repeat(np.arange(first, last), np.diff(np.clip(bounds[first : last + 1], begin, end)))
        within = np.arange(begin, end) - bounds[here]
        rows, other_rows = starts[here] + within, other_starts[here] + within
        differs = (content[rows] != content[other_rows]).any(axis=1)
        if scales is not None:
            differs |= scales[rows] != scales[other_rows]
        equal[here[differs]] = False
    return equal
