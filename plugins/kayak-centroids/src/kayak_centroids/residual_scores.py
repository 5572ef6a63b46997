"""MaxSim over residual codes, in NumPy, without decoding them."""

from __future__ import annotations

from collections import Counter

import attrs
import kayak
import numpy as np
import numpy.typing as npt
from kayak.typing import Float32Matrix, Float32Vector, Int64Vector

from kayak_centroids.bits import unpack
from kayak_centroids.codes import CodedDocuments, IndexCodes
from kayak_centroids.residuals import ResidualQuantiser

_GROUP_VECTORS = 1 << 11
"""Vectors unpacked at a time: a megabyte at dimension 128, which stays in the cache until it is multiplied."""

_QUERY_VECTORS = 256
"""Query vectors at a time: their products with all centroids are kept while documents are scored."""


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
    quantiser = codes.quantiser
    part_of, place_of = codes.part_of[numbers], codes.place_of[numbers]
    sums = np.zeros(len(numbers), dtype=np.float64)
    with np.errstate(all="ignore"):
        for first in range(0, len(query_vectors), _QUERY_VECTORS):
            tables = _Tables.of(query_vectors[first : first + _QUERY_VECTORS], quantiser)
            for number, part in enumerate(codes.parts):
                members = np.flatnonzero(part_of == number)
                if len(members):
                    sums[members] += _part_sums(tables, quantiser.bits, part, place_of[members])
        scores = sums.astype(np.float32)
    if not np.isfinite(scores).all():
        raise kayak.ScoreOverflowError(
            "a score from residual codes leaves the range of float32; scale the vectors down, for example to unit norm"
        )
    level_equal_documents(scores, codes, numbers)
    return scores, int(codes.vector_counts[numbers].sum()) * quantiser.bytes_a_vector + quantiser.byte_size


@attrs.frozen(eq=False)
class _Tables:
    """What is computed of some query vectors once, for all codes.

    Attributes:
        of_centroids: float32, shape (centroids, query vectors): products with each centroid at its lowest levels.
        of_levels: float32, shape (dimension, query vectors): what one more level of a component adds.
    """

    of_centroids: Float32Matrix
    of_levels: Float32Matrix

    @classmethod
    def of(cls, query_vectors: Float32Matrix, quantiser: ResidualQuantiser) -> _Tables:
        """Compute both."""
        lowest: Float32Matrix = quantiser.centroids + quantiser.lowest
        return cls(lowest @ query_vectors.T, np.ascontiguousarray((query_vectors * quantiser.steps).T))


def _part_sums(tables: _Tables, bits: int, part: CodedDocuments, places: Int64Vector) -> npt.NDArray[np.float64]:
    """Return, for documents of a part, the sum over query vectors of the greatest product with a vector of theirs."""
    starts = part.offsets[places]
    counts = part.offsets[places + 1] - starts
    ends = np.cumsum(counts)
    sums = np.empty(len(counts), dtype=np.float64)
    most = max(min(_GROUP_VECTORS, int(ends[-1])), int(counts.max()))
    # Used again for every group: new memory of this size would be mapped, and cleared, each time.
    levels = np.empty((most, len(tables.of_levels)), dtype=np.float32)
    products = np.empty((most, tables.of_levels.shape[1]), dtype=np.float32)
    first = 0
    while first < len(counts):
        before = int(ends[first] - counts[first])
        stop = max(first + 1, int(np.searchsorted(ends, before + _GROUP_VECTORS, side="right")))
        here = counts[first:stop]
        begins = np.cumsum(here) - here
        rows = np.arange(int(here.sum())) + np.repeat(starts[first:stop] - begins, here)
        some = part.codes.take(rows)
        unpack(some.packed, bits, levels[: len(rows)])
        found = np.matmul(levels[: len(rows)], tables.of_levels, out=products[: len(rows)])
        found += np.take(tables.of_centroids, some.centroids, axis=0)
        found *= some.scales[:, np.newaxis]
        maxima = np.maximum.reduceat(found, begins, axis=0)
        sums[first:stop] = maxima.sum(axis=1, dtype=np.float64)
        first = stop
    return sums


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
