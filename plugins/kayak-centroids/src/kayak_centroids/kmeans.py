"""Spherical k-means (Dhillon and Modha 2001): unit centroids that maximise the dot product with their members."""

from __future__ import annotations

from collections.abc import Callable

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector, Int32Vector

Kernels = Callable[[Float32Matrix], kayak.CentroidKernels]

_GATHERED_ROWS = 1 << 16


def spherical_kmeans(
    sample: Float32Matrix,
    count: int,
    *,
    iterations: int,
    kernels: Kernels,
    generator: np.random.Generator,
    advance: Callable[[int], object],
) -> Float32Matrix:
    """Return at most `count` distinct unit centroids of a sample of vectors.

    Centroids start at vectors of the sample. One that loses all its members moves to the vector that is served worst;
    one that still has none in the end is left out.

    Args:
        sample: float32, shape (vectors, dimension); lengths do not matter. Normalised in place.
        count: centroids wanted.
        iterations: rounds of assignment and update.
        kernels: makes arithmetic over given centroids.
        generator: draws the first centroids.
        advance: called with the vectors assigned, for a progress bar.

    Returns:
        float32 of shape (centroids, dimension).
    """
    _normalise(sample)
    centroids = _distinct(sample, count, generator)
    for _ in range(iterations):
        codes, similarities = kernels(centroids).assign(sample)
        centroids = _updated(sample, codes, similarities, len(centroids))
        advance(len(sample))
    return np.unique(centroids, axis=0)


def _normalise(vectors: Float32Matrix) -> None:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    vectors /= np.where(lengths > 0.0, lengths, 1.0).astype(np.float32)[:, np.newaxis]


def _distinct(sample: Float32Matrix, count: int, generator: np.random.Generator) -> Float32Matrix:
    """Draw `count` vectors that differ, or all different ones where there are fewer."""
    drawn = sample[generator.permutation(len(sample))]
    if count < len(sample):
        first = np.unique(drawn[:count], axis=0)
        if len(first) == count:
            return first
    different = np.unique(drawn, axis=0)
    return different[generator.permutation(len(different))[:count]]


def _updated(sample: Float32Matrix, codes: Int32Vector, similarities: Float32Vector, count: int) -> Float32Matrix:
    order = np.argsort(codes, kind="stable")
    sums = np.zeros((count, sample.shape[1]), dtype=np.float64)
    for start in range(0, len(order), _GATHERED_ROWS):
        rows = order[start : start + _GATHERED_ROWS]
        grouped = codes[rows]
        starts = np.flatnonzero(np.append(True, grouped[1:] != grouped[:-1]))
        sums[grouped[starts]] += np.add.reduceat(sample[rows], starts, axis=0)
    members = np.bincount(codes, minlength=count)
    empty = np.flatnonzero(members == 0)
    if len(empty):
        worst = np.argsort(similarities, kind="stable")[: len(empty)]
        sums[empty[: len(worst)]] = sample[worst]
    centroids = sums.astype(np.float32)
    _normalise(centroids)
    return centroids
