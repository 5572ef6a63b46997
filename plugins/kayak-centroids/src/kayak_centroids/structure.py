"""`CentroidStructure`: what is prepared once for an index, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector, Int32Matrix, Int32Vector, Int64Vector

from kayak_centroids.fit import CentroidFit, document_cosines
from kayak_centroids.kmeans import spherical_kmeans
from kayak_centroids.numpy_kernels import centroid_kernels, kernels_name
from kayak_centroids.postings import InvertedLists, distinct_pairs
from kayak_centroids.tokens import sample_tokens, stream_tokens

_COUNT_FACTOR = 4.4
"""Centroids a square root of token vectors: 4,096 for 1.1 million vectors, 8,192 for 3 million."""

DEFAULT_ITERATIONS = 4
"""Rounds of k-means."""

DEFAULT_SAMPLE_PER_CENTROID = 24
"""Token vectors that k-means sees, for each centroid."""


@attrs.frozen(kw_only=True)
class BuildParameters:
    """What centroids and lists depend on, besides the vectors.

    Attributes:
        n_centroids: centroids wanted; None chooses by the number of token vectors.
        seed: draws the sample and the first centroids.
        iterations: rounds of k-means.
        sample_per_centroid: token vectors that k-means sees, for each centroid.
    """

    n_centroids: int | None
    seed: int
    iterations: int
    sample_per_centroid: int

    @property
    def name(self) -> str:
        """All of them in one word: part of the names under which a store keeps what was built with them."""
        return f"{self.n_centroids or 'auto'}-{self.seed}-{self.iterations}-{self.sample_per_centroid}"


@attrs.frozen(eq=False)
class ListsPart:
    """Inverted lists of some documents of an index.

    Attributes:
        lists: the documents of each centroid, numbered within the part.
        rows: int64 number in the index of each document of the part, -1 for one that is not in the index; None where
            the part is the index, in its order.
    """

    lists: InvertedLists
    rows: Int64Vector | None = None


@attrs.frozen(eq=False, slots=False)
class CentroidStructure:
    """Centroids of an index's token vectors, and which documents hold which.

    Attributes:
        centroids: float32 of unit length, shape (centroids, dimension).
        parts: the documents of each centroid.
        fit: how well the centroids stand for the documents.
        built_by: what computed it: a backend, or "numpy".
        bytes_read: bytes that were read to have it.
        origin_notes: where it comes from, if not from this index alone.
    """

    centroids: Float32Matrix
    parts: tuple[ListsPart, ...]
    fit: CentroidFit
    built_by: str
    bytes_read: int
    origin_notes: tuple[str, ...] = ()

    @cached_property
    def list_lengths(self) -> Int64Vector:
        """Postings of each centroid, int64."""
        lengths: Int64Vector = sum(
            (np.diff(part.lists.offsets) for part in self.parts), np.zeros(len(self.centroids), dtype=np.int64)
        )
        return lengths

    @cached_property
    def posting_count(self) -> int:
        """Entries of all lists."""
        return sum(len(part.lists.documents) for part in self.parts)

    @cached_property
    def byte_size(self) -> int:
        """Bytes of the structure."""
        return self.centroids.nbytes + self.fit.values.nbytes + sum(part.lists.byte_size for part in self.parts)

    @cached_property
    def description(self) -> str:
        """One line for profiles."""
        return (
            f"{len(self.centroids)} centroids and {self.posting_count} postings of {len(self.fit.values)} documents, "
            f"{self.byte_size} bytes, built by {self.built_by}"
        )

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: where the structure comes from, and whether some documents fit badly."""
        tail = len(self.fit.tail)
        if not tail:
            return self.origin_notes
        return (
            *self.origin_notes,
            f"{tail} of {len(self.fit.values)} documents fit the centroids badly (mean cosine below "
            f"{self.fit.threshold:.2f}, over all it is {self.fit.mean:.2f}) and may be missed; "
            "kayak_centroids.prepare_centroids names them",
        )

    def scores(
        self,
        kernels: kayak.CentroidKernels,
        probed: Int32Matrix,
        gains: Float32Matrix,
        query_offsets: Int64Vector,
    ) -> Float32Matrix:
        """Add up the gains of the probed lists over all parts; float32 of shape (queries, documents of the index)."""
        found = []
        for part in self.parts:
            lists = part.lists
            values = kernels.accumulate(
                probed, gains, query_offsets, lists.offsets, lists.documents, lists.document_count
            )
            if part.rows is None:
                return values
            found.append((part.rows, values))
        scores = np.zeros((len(query_offsets) - 1, len(self.fit.values)), dtype=np.float32)
        for rows, values in found:
            inside = rows >= 0
            scores[:, rows[inside]] = values[:, inside]
        return scores


def checked_index(index: kayak.LateIndex) -> kayak.LateIndex:
    """Return the index if it is one.

    Raises:
        InvalidTypeError: it is something else.
    """
    if not isinstance(index, kayak.LateIndex):
        raise kayak.InvalidTypeError(
            f"expected a LateIndex, got {type(index).__name__}; a store gives one with load_index()"
        )
    return index


def default_centroid_count(vector_count: int) -> int:
    """Return how many centroids serve this many token vectors: the power of two nearest to 4.4 square roots."""
    return 1 << max(0, round(float(np.log2(_COUNT_FACTOR * np.sqrt(vector_count)))))


def build_structure(
    index: kayak.LateIndex, parameters: BuildParameters, executor: kayak.Executor, show_progress: bool | None
) -> CentroidStructure:
    """Make centroids from a sample of an index's token vectors, then assign all vectors to them, streaming.

    Raises:
        StoreCorruptError: stored vectors do not match their checksum.
        MissingDependencyError: a progress bar is asked for and tqdm is not installed.
    """
    total = index.total_vector_count
    wanted = min(parameters.n_centroids or default_centroid_count(total), total)
    sample_size = min(total, wanted * parameters.sample_per_centroid)
    generator = np.random.default_rng(parameters.seed)
    work = sample_size * parameters.iterations + total
    with kayak.progress_bar("centroids", work, show_progress, unit="vector") as advance:
        centroids = spherical_kmeans(
            sample_tokens(index, sample_size, generator),
            wanted,
            iterations=parameters.iterations,
            kernels=lambda some: centroid_kernels(executor, some),
            generator=generator,
            advance=advance,
        )
        lists, fit = assign_documents(index, centroids, executor, advance)
    return CentroidStructure(
        centroids, (ListsPart(lists),), CentroidFit.of_values(fit), kernels_name(executor), index.vector_byte_size
    )


def assign_documents(
    index: kayak.LateIndex, centroids: Float32Matrix, executor: kayak.Executor, advance: Callable[[int], object]
) -> tuple[InvertedLists, Float32Vector]:
    """Return the inverted lists of an index's documents, and how well the centroids fit each."""
    kernels = centroid_kernels(executor, centroids)
    documents: list[Int32Vector] = []
    codes: list[Int32Vector] = []
    fit = np.empty(index.document_count, dtype=np.float32)
    for chunk in stream_tokens(index):
        chosen, similarities = kernels.assign(chunk.vectors)
        pairs = distinct_pairs(chunk.documents, chunk.counts, chosen, len(centroids))
        documents.append(pairs[0])
        codes.append(pairs[1])
        fit[chunk.documents] = document_cosines(chunk.vectors, similarities, chunk.counts)
        advance(len(chunk.vectors))
    lists = InvertedLists.from_pairs(
        np.concatenate(documents), np.concatenate(codes), len(centroids), index.document_count
    )
    return lists, fit
