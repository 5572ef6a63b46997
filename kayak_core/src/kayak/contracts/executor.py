"""Executors: what computes exact MaxSim, and how it describes itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import attrs
import numpy as np

from kayak.errors import InvalidInputError, PluginError, ScoreOverflowError
from kayak.typing import Float32Matrix, Int64Vector
from kayak.values import INDEX_LAYOUTS, QUERY_LAYOUTS, IndexBlock, IndexSlice, LateIndex, LateQueryBatch
from kayak.values.blocks import offsets_from_counts

_DECODED_BYTES = 8 << 20  # of documents that an executor gets as float32 because it does not take their element type


@attrs.frozen
class BackendInfo:
    """What one executor is and whether it can run here.

    Attributes:
        name: the backend's name, as passed to `backend=`.
        available: whether it can run on this machine now.
        requires_mojo: whether it executes Mojo kernels.
        query_layouts: query layouts that it scores.
        index_layouts: index layouts that it scores.
        availability_reason: why it is available or not, and what to do if not.
        detail: facts about the code that will run, for example the BLAS or the CPU level.
        vector_dtypes: element types of the blocks that its `maxsim` is given. Every executor takes "float32"; for the
            others Kayak decodes documents to float32 first, some megabytes at a time, so that an executor never sees
            codes that it does not know.
    """

    name: str
    available: bool
    requires_mojo: bool = False
    query_layouts: tuple[str, ...] = QUERY_LAYOUTS
    index_layouts: tuple[str, ...] = INDEX_LAYOUTS
    availability_reason: str = ""
    detail: str = ""
    vector_dtypes: tuple[str, ...] = ("float32", "float16")


@runtime_checkable
class Executor(Protocol):
    """Computes exact MaxSim over one block of documents.

    An executor is stateless between calls and safe to call from several threads. Results must not depend on the run or
    the number of threads, and equal documents of a block get equal scores. Nor should they depend on the other queries
    of the batch or on the place of a document in the block, beyond the last bits where an underlying library does not
    allow more; the order of documents never does.
    """

    @property
    def name(self) -> str:
        """The backend's name."""

    def backend_info(self) -> BackendInfo:
        """Describe the executor; must not raise and must not be slow."""

    def maxsim(
        self,
        query_vectors: Float32Matrix,
        query_offsets: Int64Vector,
        block: IndexBlock,
        positions: Int64Vector | None,
    ) -> Float32Matrix:
        """Score documents of one block for every query of a batch.

        The score of query q for document d is the sum over q's vectors of the greatest dot product with a vector
        of d (Khattab and Zaharia, ColBERT, arXiv 2004.12832), within 1e-5 of float64 arithmetic relative to the
        sum of the magnitudes involved.

        Args:
            query_vectors: float32, C-contiguous, shape (Σ query vectors, dimension), finite.
            query_offsets: int64, queries + 1; query i owns rows `query_offsets[i]` to `query_offsets[i + 1]`.
            block: vectors of an element type among `BackendInfo.vector_dtypes`, possibly a read-only memory map. int8
                codes stand for codes × `block.scales`; their rows may lie apart, and scales need not be aligned.
            positions: int64 numbers of the documents to score, in any order; None means all.

        Returns:
            float32 of shape (queries, documents scored), columns in the order of `positions`.
        """


def _block_scores(
    executor: Executor, batch: LateQueryBatch, block: IndexBlock, positions: Int64Vector | None
) -> Float32Matrix:
    scores = executor.maxsim(batch.packed_vectors, batch.offsets, block, positions)
    expected = (batch.batch_size, block.document_count if positions is None else len(positions))
    if scores.shape != expected:
        raise PluginError(f"executor {executor.name!r} returned scores of shape {scores.shape}, expected {expected}")
    return scores


def _groups(part: IndexSlice) -> Iterator[IndexSlice]:
    """Divide a slice into ones of bounded bytes as float32, or of one document where that has more."""
    ends = np.cumsum(part.counts)
    most = max(1, _DECODED_BYTES // (4 * part.block.vector_dim))
    first, before = 0, 0
    while first < len(part.rows):
        stop = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield part.take(np.arange(first, stop), part.rows[first:stop])
        first, before = stop, int(ends[stop - 1])


def check_dimensions(query_dim: int, index: LateIndex) -> None:
    """Require queries and index to have one dimension.

    Raises:
        InvalidInputError: they differ.
    """
    if query_dim != index.vector_dim:
        raise InvalidInputError(
            f"the query has dimension {query_dim}, but the index has {index.vector_dim}; "
            "encode both with the same encoder"
        )


def score_index(executor: Executor, batch: LateQueryBatch, index: LateIndex) -> Float32Matrix:
    """Score every document of an index for every query of a batch.

    Returns:
        Read-only float32 of shape (queries, documents), columns in index order.

    Raises:
        InvalidInputError: queries and index differ in dimension.
        ScoreOverflowError: a score left the range of float32.
        StoreCorruptError: stored vectors do not match their checksum.
        PluginError: the executor returned something else than the scores asked for.
    """
    check_dimensions(batch.vector_dim, index)
    scores = np.empty((batch.batch_size, index.document_count), dtype=np.float32)
    takes = ("float32",) if index.vector_dtype == "float32" else executor.backend_info().vector_dtypes
    for part in index.slices:
        part.block.verify(part.positions)
        if part.block.vector_dtype in takes:
            scores[:, part.rows] = _block_scores(executor, batch, part.block, part.positions)
        else:
            for group in _groups(part):
                block = IndexBlock(offsets_from_counts(group.counts), group.block.float32_rows(group.token_rows()))
                scores[:, group.rows] = _block_scores(executor, batch, block, None)
    if not np.isfinite(scores).all():
        query, document = (int(i[0]) for i in np.nonzero(~np.isfinite(scores)))
        raise ScoreOverflowError(
            f"the score of document {index.doc_ids[document]!r} for query {query} leaves the range of float32; "
            "scale the vectors down, for example to unit norm"
        )
    scores.flags.writeable = False
    return scores
