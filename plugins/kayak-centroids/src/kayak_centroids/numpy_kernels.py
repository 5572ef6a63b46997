"""Arithmetic over centroids in NumPy, for executors that offer none."""

from __future__ import annotations

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector, Int32Matrix, Int32Vector, Int64Vector, VectorMatrix

_CHUNK_BYTES = 8 << 20
"""Similarities computed at a time: few enough to stay in the cache until their maximum is taken."""


class NumpyCentroidKernels:
    """Matrix products through BLAS, and posting lists through fancy indexing: no Python loop per document or posting.

    Args:
        centroids: float32, shape (centroids, dimension).
    """

    def __init__(self, centroids: Float32Matrix) -> None:
        self._columns = np.ascontiguousarray(centroids.T)

    def assign(self, vectors: VectorMatrix) -> tuple[Int32Vector, Float32Vector]:
        """Return the most similar centroid of each vector; see `kayak.CentroidKernels.assign`."""
        codes = np.empty(len(vectors), dtype=np.int32)
        similarities = np.empty(len(vectors), dtype=np.float32)
        rows = max(1, _CHUNK_BYTES // (4 * self._columns.shape[1]))
        products = np.empty((min(rows, len(vectors)), self._columns.shape[1]), dtype=np.float32)
        for start in range(0, len(vectors), rows):
            chunk = np.asarray(vectors[start : start + rows], dtype=np.float32)
            found = np.matmul(chunk, self._columns, out=products[: len(chunk)])
            best = found.argmax(axis=1)
            codes[start : start + rows] = best
            similarities[start : start + rows] = found[np.arange(len(chunk)), best]
        return codes, similarities

    def probe(self, query_vectors: Float32Matrix, count: int) -> tuple[Int32Matrix, Float32Matrix]:
        """Return the most similar centroids of each query vector; see `kayak.CentroidKernels.probe`."""
        products = query_vectors @ self._columns
        if count < products.shape[1]:
            threshold = np.partition(products, products.shape[1] - count, axis=1)[:, -count, np.newaxis]
            reached = products >= threshold
            if int(reached.sum()) > count * len(products):
                # Everything above the threshold is in, and the lowest numbers of those equal to it.
                ties = reached & (products == threshold)
                surplus = reached.sum(axis=1, keepdims=True) - count
                left = ties.sum(axis=1, keepdims=True) - surplus
                reached &= ~ties | (np.cumsum(ties, axis=1) <= left)
            chosen = np.nonzero(reached)[1].reshape(-1, count)
        else:
            chosen = np.broadcast_to(np.arange(count), products.shape)
        similarities = np.take_along_axis(products, chosen, axis=1)
        order = np.argsort(-similarities, axis=1, kind="stable")
        probed = np.take_along_axis(chosen, order, axis=1).astype(np.int32)
        return probed, np.take_along_axis(similarities, order, axis=1)

    def accumulate(
        self,
        probed: Int32Matrix,
        gains: Float32Matrix,
        query_offsets: Int64Vector,
        list_offsets: Int64Vector,
        postings: Int32Vector,
        document_count: int,
    ) -> Float32Matrix:
        """Add up the gains of the probed lists; see `kayak.CentroidKernels.accumulate`."""
        scores = np.zeros((len(query_offsets) - 1, document_count), dtype=np.float32)
        best = np.empty(document_count, dtype=np.float32)
        starts, counts = list_offsets[:-1], np.diff(list_offsets)
        for query, row in enumerate(scores):
            for token in range(int(query_offsets[query]), int(query_offsets[query + 1])):
                lists = probed[token, ::-1]  # worst first: of several values for a document, the last is kept
                lengths = counts[lists]
                ends = np.cumsum(lengths)
                places = np.arange(ends[-1])
                places += np.repeat(starts[lists] - (ends - lengths), lengths)
                documents = postings[places]
                best[documents] = np.repeat(gains[token, ::-1], lengths)
                row[documents] += best[documents]  # a document that comes twice is written twice, not added twice
        return scores


def centroid_kernels(executor: kayak.Executor, centroids: Float32Matrix) -> kayak.CentroidKernels:
    """Return the executor's own arithmetic over the centroids where it has one, else NumPy's."""
    if isinstance(executor, kayak.CentroidExecutor):
        return executor.centroid_kernels(centroids)
    return NumpyCentroidKernels(centroids)


def kernels_name(executor: kayak.Executor) -> str:
    """Return what computes for this executor, for profiles."""
    return executor.name if isinstance(executor, kayak.CentroidExecutor) else "numpy"
