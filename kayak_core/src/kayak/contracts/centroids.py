"""What an executor may offer beyond MaxSim: arithmetic over centroids of token vectors."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from kayak.typing import Float32Matrix, Float32Vector, Int32Matrix, Int32Vector, Int64Vector, VectorMatrix


class CentroidKernels(Protocol):
    """Compares vectors with one set of centroids, and adds up posting lists. Safe to call from several threads.

    Results do not depend on the number of threads or on the other vectors of a call. Similarities are dot products
    within 1e-5 of float64 arithmetic relative to the sum of the magnitudes involved; equal similarities rank by the
    lower centroid.
    """

    def assign(self, vectors: VectorMatrix) -> tuple[Int32Vector, Float32Vector]:
        """Return the most similar centroid of each vector, and the similarity.

        Args:
            vectors: float32 or float16, C-contiguous, shape (vectors, dimension).

        Returns:
            int32 centroids and float32 dot products, each of shape (vectors,).
        """

    def probe(self, query_vectors: Float32Matrix, count: int) -> tuple[Int32Matrix, Float32Matrix]:
        """Return the `count` most similar centroids of each query vector, best first, and their similarities.

        Args:
            query_vectors: float32, C-contiguous, shape (query vectors, dimension).
            count: from 1 to the number of centroids.

        Returns:
            int32 centroids and float32 dot products, each of shape (query vectors, count).
        """

    def accumulate(
        self,
        probed: Int32Matrix,
        gains: Float32Matrix,
        query_offsets: Int64Vector,
        list_offsets: Int64Vector,
        postings: Int32Vector,
        document_count: int,
    ) -> Float32Matrix:
        """Add up, for each query and document, the gain of each query vector's first probed centroid that lists it.

        Args:
            probed: int32 centroids of shape (query vectors, probes), none twice in a row.
            gains: float32 of the same shape.
            query_offsets: int64, queries + 1; query i owns rows `query_offsets[i]` to `query_offsets[i + 1]`.
            list_offsets: int64, centroids + 1; centroid c lists postings `list_offsets[c]` to `list_offsets[c + 1]`.
            postings: int32 document numbers, ascending within a list.
            document_count: documents are numbered from 0 to this, exclusive.

        Returns:
            float32 of shape (queries, documents): sums over query vectors in their order, 0 where no list names the
            document.
        """


@runtime_checkable
class CentroidExecutor(Protocol):
    """An executor that compares vectors with centroids too; optional, asked for with `isinstance`."""

    def centroid_kernels(self, centroids: Float32Matrix) -> CentroidKernels:
        """Return arithmetic over these centroids, prepared once for many calls.

        Args:
            centroids: float32, shape (centroids, dimension), finite.

        Raises:
            BackendUnavailableError: the executor cannot run here.
        """
