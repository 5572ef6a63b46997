"""MaxSim over residual codes, in NumPy, without decoding them."""

from __future__ import annotations

from collections import Counter

import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector, Int64Vector

from kayak_centroids.bits import unpack
from kayak_centroids.codes import IndexCodes
from kayak_centroids.residuals import ResidualCodes, ResidualQuantiser

_GROUP_VECTORS = 1 << 11
"""Vectors unpacked at a time: a megabyte at dimension 128, which stays in the cache until it is multiplied."""


def residual_scores(query_vectors: Float32Matrix, codes: IndexCodes, numbers: Int64Vector) -> tuple[Float32Vector, int]:
    """Score documents by MaxSim between a query and the vectors that codes stand for.

    ⟨q, scale · (centroid + lowest + step · level)⟩ = scale · (⟨q, centroid + lowest⟩ + ⟨q · step, level⟩): the first
    product is the same for all vectors of a centroid, the second needs the levels alone. Within 1e-5 of float64
    arithmetic relative to the sum of the magnitudes involved; equal documents get equal scores.

    Args:
        query_vectors: float32, shape (query vectors, dimension).
        codes: of all documents of an index.
        numbers: int64 numbers of the documents to score.

    Returns:
        float32 scores aligned with `numbers`, and the bytes that were read.

    Raises:
        ScoreOverflowError: a score left the range of float32.
    """
    scores = np.empty(len(numbers), dtype=np.float32)
    read = 0
    with np.errstate(all="ignore"):
        for number, part in enumerate(codes.parts):
            members = np.flatnonzero(codes.part_of[numbers] == number)
            if len(members):
                places = codes.place_of[numbers[members]]
                starts, counts = part.offsets[places], part.offsets[places + 1] - part.offsets[places]
                scores[members] = _part_scores(query_vectors, codes.quantiser, part.codes, starts, counts)
                read += int(counts.sum()) * codes.quantiser.bytes_a_vector
    if not np.isfinite(scores).all():
        raise kayak.ScoreOverflowError(
            "a score from residual codes leaves the range of float32; scale the vectors down, for example to unit norm"
        )
    level_equal_documents(scores, codes, numbers)
    return scores, read + codes.quantiser.byte_size


def _part_scores(
    query_vectors: Float32Matrix,
    quantiser: ResidualQuantiser,
    codes: ResidualCodes,
    starts: Int64Vector,
    counts: Int64Vector,
) -> Float32Vector:
    of_centroids = (quantiser.centroids + quantiser.lowest) @ query_vectors.T
    of_levels = np.ascontiguousarray((query_vectors * quantiser.steps).T)
    ends = np.cumsum(counts)
    scores = np.empty(len(counts), dtype=np.float32)
    most = max(_GROUP_VECTORS, int(counts.max()))
    # Used again for every group: new memory of this size would be mapped, and cleared, each time.
    levels = np.empty((most, quantiser.dim), dtype=np.float32)
    products = np.empty((most, len(query_vectors)), dtype=np.float32)
    first = 0
    while first < len(counts):
        before = int(ends[first] - counts[first])
        stop = max(first + 1, int(np.searchsorted(ends, before + _GROUP_VECTORS, side="right")))
        here = counts[first:stop]
        begins = np.cumsum(here) - here
        rows = np.arange(int(here.sum())) + np.repeat(starts[first:stop] - begins, here)
        some = codes.take(rows)
        unpack(some.packed, quantiser.bits, levels[: len(rows)])
        found = np.matmul(levels[: len(rows)], of_levels, out=products[: len(rows)])
        found += np.take(of_centroids, some.centroids, axis=0)
        found *= some.scales[:, np.newaxis]
        maxima = np.maximum.reduceat(found, begins, axis=0)
        scores[first:stop] = maxima.sum(axis=1, dtype=np.float64)
        first = stop
    return scores


def level_equal_documents(scores: Float32Vector, codes: IndexCodes, numbers: Int64Vector) -> None:
    """Give documents with equal codes the score of the first: a matrix product may round by the place of a row."""
    seen = codes.samples(numbers)
    if len(set(seen)) == len(seen):
        return
    often = {sample for sample, count in Counter(seen).items() if count > 1}
    firsts: dict[bytes, int] = {}
    for member, sample in enumerate(seen):
        if sample in often:
            scores[member] = scores[firsts.setdefault(codes.document(int(numbers[member])).content, member)]
