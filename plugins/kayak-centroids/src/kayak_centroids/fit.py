"""How well centroids stand for the token vectors of documents, and which documents they serve badly."""

from __future__ import annotations

import attrs
import numpy as np
from kayak.typing import Float32Vector, Int64Vector, VectorMatrix

_FAR_OUT = 3.0  # Tukey's outer fence


@attrs.frozen(eq=False)
class CentroidFit:
    """The mean cosine between a document's token vectors and their centroids, document by document.

    Attributes:
        values: float32, one a document.
        threshold: documents below it form the tail: three interquartile ranges below the first quartile of the
            documents that the centroids were made from.
    """

    values: Float32Vector
    threshold: float

    @classmethod
    def of_values(cls, values: Float32Vector) -> CentroidFit:
        """Set the threshold from the values themselves."""
        first, third = np.quantile(values.astype(np.float64), (0.25, 0.75))
        return cls(values, float(first - _FAR_OUT * (third - first)))

    @property
    def mean(self) -> float:
        """The mean over all documents."""
        return float(self.values.mean(dtype=np.float64))

    @property
    def tail(self) -> Int64Vector:
        """Numbers of the documents that the centroids serve badly, worst first."""
        low = np.flatnonzero(self.values < self.threshold)
        return low[np.argsort(self.values[low], kind="stable")]


def document_cosines(vectors: VectorMatrix, similarities: Float32Vector, counts: Int64Vector) -> Float32Vector:
    """Return each document's mean cosine with the centroids of its vectors.

    Args:
        vectors: the vectors, document by document.
        similarities: their dot products with their unit centroids.
        counts: vectors of each document.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32))
    cosines = np.divide(similarities, lengths, out=np.zeros_like(similarities), where=lengths > 0.0)
    starts = np.cumsum(counts) - counts
    means: Float32Vector = (np.add.reduceat(cosines, starts) / counts).astype(np.float32)
    return means
