"""Token vectors as a centroid and the quantised rest: what compression keeps of them.

The residual compression of ColBERTv2 (Santhanam and others, arXiv 2112.01488): the number of the nearest centroid, and
of each component of the difference to it the number of one of 4 or 16 levels. Two things differ. Levels are equally
spaced, and spaced for each component, by least squares over a sample, where ColBERTv2 takes quantiles of all components
together: the error is smaller, and a dot product with what is decoded needs multiplications only, no tables. And where
ColBERTv2 scales decoded vectors to unit length, here one number a vector restores the length that the vector had, so
that vectors of any length can be coded.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import attrs
import kayak
import numpy as np
import numpy.typing as npt
from kayak.typing import Float32Matrix, Float32Vector, Int64Vector, VectorMatrix

from kayak_centroids.bits import ByteMatrix, pack, packed_width, unpack

BITS = (2, 4)

Numbers: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_ROUNDS = 10
_STEPS = {2: 0.9957, 4: 0.3352}
"""Where spacing starts, in standard deviations: the best equally spaced levels of a normal distribution (Max 1960)."""


@attrs.frozen(eq=False)
class ResidualCodes:
    """Codes of some token vectors.

    Attributes:
        centroids: uint16 or uint32 number of each vector's centroid.
        packed: uint8, shape (vectors, bytes): the level of each component of the residual, see `bits.pack`.
        scales: float32: what the sum of centroid and residual is multiplied by.
    """

    centroids: Numbers
    packed: ByteMatrix
    scales: Float32Vector

    @property
    def byte_size(self) -> int:
        """Bytes of the codes."""
        return self.centroids.nbytes + self.packed.nbytes + self.scales.nbytes

    @property
    def content(self) -> bytes:
        """All bytes of the codes: equal for equal codes."""
        return self.centroids.tobytes() + self.scales.tobytes() + self.packed.tobytes()

    def take(self, rows: Int64Vector) -> ResidualCodes:
        """Return the codes of some of the vectors."""
        # Not by indexing, which is several times slower.
        return ResidualCodes(
            np.take(self.centroids, rows), np.take(self.packed, rows, axis=0), np.take(self.scales, rows)
        )


@attrs.frozen(eq=False)
class ResidualQuantiser:
    """Turns token vectors into codes and back.

    A vector stands for `scale · (centroid + lowest + step · level)`, component by component, where the scale gives it
    the length of the vector that was coded.

    Attributes:
        bits: bits of a component: 2 or 4.
        centroids: float32 of unit length, shape (centroids, dimension).
        lowest: float32, shape (dimension,): the residual of level 0.
        steps: float32, shape (dimension,): the distance of levels; 0 where the sample had one value only.
    """

    bits: int
    centroids: Float32Matrix
    lowest: Float32Vector
    steps: Float32Vector

    @classmethod
    def trained(
        cls, bits: int, centroids: Float32Matrix, kernels: kayak.CentroidKernels, sample: Float32Matrix
    ) -> ResidualQuantiser:
        """Space the levels of each component by least squares over a sample of token vectors."""
        directions, _ = _directions(sample)
        chosen, _ = kernels.assign(directions)
        residuals = (directions - centroids[chosen]).astype(np.float64)
        top = (1 << bits) - 1
        means = residuals.mean(axis=0)
        steps = _STEPS[bits] * residuals.std(axis=0)
        lowest = means - steps * top / 2
        for _ in range(_ROUNDS):
            levels = _levels(residuals, lowest, steps, top)
            centred = levels - levels.mean(axis=0)
            spread = np.einsum("ij,ij->j", centred, centred)
            slopes = np.einsum("ij,ij->j", centred, residuals) / np.where(spread > 0.0, spread, 1.0)
            steps = np.where(spread > 0.0, slopes, steps)
            lowest = means - steps * levels.mean(axis=0)
        return cls(bits, centroids, lowest.astype(np.float32), steps.astype(np.float32))

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.centroids.shape[1])

    @property
    def number_type(self) -> np.dtype[Any]:
        """The smallest type that numbers the centroids."""
        return np.dtype(np.uint16 if len(self.centroids) <= 1 << 16 else np.uint32)

    @property
    def bytes_a_vector(self) -> int:
        """Bytes of the codes of one vector."""
        return packed_width(self.dim, self.bits) + self.number_type.itemsize + 4

    @property
    def byte_size(self) -> int:
        """Bytes of centroids and levels."""
        return self.centroids.nbytes + self.lowest.nbytes + self.steps.nbytes

    def encode(self, vectors: VectorMatrix, kernels: kayak.CentroidKernels) -> tuple[ResidualCodes, Float32Vector]:
        """Return the codes of vectors, and the cosine of each with what its codes stand for.

        A vector without length has the scale 0, which stands for it exactly; its cosine counts as 1.

        Args:
            vectors: float32 or float16, shape (vectors, dimension).
            kernels: arithmetic over this quantiser's centroids.
        """
        directions, lengths = _directions(vectors)
        chosen, _ = kernels.assign(directions)
        centroids = self.centroids[chosen]
        levels = _levels(directions - centroids, self.lowest, self.steps, (1 << self.bits) - 1).astype(np.uint8)
        decoded = self._sums(chosen, levels.astype(np.float32))
        norms = np.sqrt(np.einsum("ij,ij->i", decoded, decoded, dtype=np.float64))
        usable = norms > 0.0
        with np.errstate(over="ignore"):  # a length past the range of float32 gives scores past it: an error there
            scales = np.divide(lengths, norms, out=np.zeros_like(norms), where=usable).astype(np.float32)
        products = np.einsum("ij,ij->i", decoded, directions, dtype=np.float64)
        cosines = np.divide(products, norms, out=np.zeros_like(norms), where=usable).astype(np.float32)
        cosines[lengths == 0.0] = 1.0
        return ResidualCodes(chosen.astype(self.number_type), pack(levels, self.bits), scales), cosines

    def decode(self, codes: ResidualCodes) -> Float32Matrix:
        """Return the vectors that codes stand for, float32 of shape (vectors, dimension)."""
        levels = np.empty((len(codes.scales), self.dim), dtype=np.float32)
        unpack(codes.packed, self.bits, levels)
        decoded = self._sums(codes.centroids, levels)
        decoded *= codes.scales[:, np.newaxis]
        return decoded

    def _sums(self, centroids: npt.NDArray[np.integer[Any]], levels: Float32Matrix) -> Float32Matrix:
        sums = levels * self.steps
        sums += (self.centroids + self.lowest)[centroids]
        return sums


def _levels(
    residuals: npt.NDArray[np.floating[Any]],
    lowest: npt.NDArray[np.floating[Any]],
    steps: npt.NDArray[np.floating[Any]],
    top: int,
) -> npt.NDArray[np.floating[Any]]:
    inverse = np.divide(1.0, steps, out=np.zeros_like(steps), where=steps > 0.0)
    levels = residuals - lowest
    levels *= inverse
    np.rint(levels, out=levels)
    return np.clip(levels, 0, top, out=levels)


def _directions(vectors: VectorMatrix) -> tuple[Float32Matrix, npt.NDArray[np.float64]]:
    """Return vectors scaled to unit length, and the lengths that they had; a vector of zeros stays one."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    divisors = np.where(lengths > 0.0, lengths, 1.0)[:, np.newaxis]
    return np.divide(vectors, divisors).astype(np.float32), lengths
