"""Token vectors of an index: sampled, and streamed in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Int64Vector, VectorMatrix

_CHUNK_VECTORS = 1 << 16


@attrs.frozen(eq=False)
class TokenChunk:
    """Whole documents of one block.

    Attributes:
        documents: their numbers in the index.
        counts: token vectors of each.
        vectors: the vectors, document by document: float32, or float16 where the block keeps that.
    """

    documents: Int64Vector
    counts: Int64Vector
    vectors: VectorMatrix


def stream_tokens(index: kayak.LateIndex) -> Iterator[TokenChunk]:
    """Yield the token vectors of all documents, block by block.

    A chunk holds some tens of thousands of vectors, or one document where that has more.

    Raises:
        StoreCorruptError: stored vectors do not match their checksum.
    """
    for part in index.slices:
        positions = np.arange(part.block.document_count) if part.positions is None else part.positions
        counts = part.block.offsets[positions + 1] - part.block.offsets[positions]
        ends = np.cumsum(counts)
        first = 0
        while first < len(positions):
            before = int(ends[first]) - int(counts[first])
            stop = max(first + 1, int(np.searchsorted(ends, before + _CHUNK_VECTORS, side="right")))
            chosen = positions[first:stop]
            part.block.verify(chosen)
            vectors = _document_rows(part.block, chosen, counts[first:stop])
            yield TokenChunk(part.rows[first:stop], counts[first:stop], vectors)
            first = stop


def _document_rows(block: kayak.IndexBlock, positions: Int64Vector, counts: Int64Vector) -> VectorMatrix:
    starts = block.offsets[positions]
    if bool((starts[1:] == starts[:-1] + counts[:-1]).all()):  # they lie one below the other
        return kernel_vectors(block, slice(int(starts[0]), int(starts[-1] + counts[-1])))
    ends = np.cumsum(counts)
    rows = np.arange(int(ends[-1]))
    rows += np.repeat(starts - (ends - counts), counts)
    return kernel_vectors(block, rows)


def kernel_vectors(block: kayak.IndexBlock, rows: slice | Int64Vector) -> VectorMatrix:
    """Return some vectors of a block as kernels can read them: codes are decoded, float16 stays what it is."""
    return np.ascontiguousarray(block.vectors[rows] if block.scales is None else block.float32_rows(rows))


def sample_tokens(index: kayak.LateIndex, count: int, generator: np.random.Generator) -> Float32Matrix:
    """Return `count` token vectors drawn without replacement, or all where there are fewer, in index order.

    Which ones depends on the index's order alone, not on how its documents lie in blocks.

    Raises:
        StoreCorruptError: stored vectors do not match their checksum.
    """
    total = index.total_vector_count
    if count >= total:
        drawn = np.arange(total, dtype=np.int64)
    else:
        drawn = np.sort(generator.choice(total, count, replace=False, shuffle=False))
    documents = np.searchsorted(index.doc_offsets, drawn, side="right") - 1
    within = drawn - index.doc_offsets[documents]
    sample = np.empty((len(drawn), index.vector_dim), dtype=np.float32)
    place = np.full(index.document_count, -1, dtype=np.int64)
    for part in index.slices:
        place[part.rows] = np.arange(len(part.rows)) if part.positions is None else part.positions
        members = np.flatnonzero(place[documents] >= 0)
        positions = place[documents[members]]
        part.block.verify(np.unique(positions))
        sample[members] = part.block.float32_rows(part.block.offsets[positions] + within[members])
        place[part.rows] = -1
    return sample
