"""Centroids as the codebook of a database: made from a stream of documents, and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Float32Vector

from kayak_centroids.fit import CentroidFit, document_cosines
from kayak_centroids.kmeans import spherical_kmeans
from kayak_centroids.numpy_kernels import centroid_kernels, kernels_name
from kayak_centroids.structure import BuildParameters, default_centroid_count

_FORMAT = 1
_KIND = "kayak-centroids"
_FIT_DOCUMENTS = 512
"""Documents by which the fit of new centroids is judged."""


@attrs.frozen(eq=False)
class CentroidCodebook:
    """Centroids that a database keeps.

    Attributes:
        codebook: as the database keeps them.
        parameters: what they were made with.
        built_by: what computed them.
        vector_count: token vectors of the corpus at that time.
        mean_cosine: mean cosine between vectors and centroids, over documents, at that time.
        threshold: documents that fit worse form the tail.
    """

    codebook: kayak.Codebook
    parameters: BuildParameters
    built_by: str
    vector_count: int
    mean_cosine: float
    threshold: float

    @classmethod
    def made(
        cls, centroids: Float32Matrix, parameters: BuildParameters, built_by: str, vector_count: int, fit: CentroidFit
    ) -> CentroidCodebook:
        """Return a codebook of new centroids."""
        facts = {
            "kind": _KIND,
            "format": _FORMAT,
            "parameters": attrs.asdict(parameters),
            "built_by": built_by,
            "vector_count": vector_count,
            "mean_cosine": fit.mean,
            "threshold": fit.threshold,
        }
        return cls.of(kayak.Codebook(centroids, facts))

    @classmethod
    def of(cls, codebook: kayak.Codebook) -> CentroidCodebook:
        """Read what `made` gave.

        Raises:
            StoreVersionError: something else made the codebook, or another version.
        """
        facts = codebook.facts
        if facts.get("kind") != _KIND or facts.get("format") != _FORMAT:
            raise kayak.StoreVersionError(
                f"the store's codebook is of kind {facts.get('kind')!r:.60}, format {facts.get('format')!r:.20}; this "
                f"kayak-centroids reads kind {_KIND!r} of format {_FORMAT}; replace it with "
                "kayak_centroids.store_centroids(store, generator, rebuild=True)"
            )
        return cls(
            codebook,
            BuildParameters(**facts["parameters"]),
            facts["built_by"],
            facts["vector_count"],
            facts["mean_cosine"],
            facts["threshold"],
        )


def train(
    batches: Iterable[kayak.LateDocuments],
    stats: kayak.LateStoreStats,
    parameters: BuildParameters,
    executor: kayak.Executor,
    advance: Callable[[int], object],
) -> CentroidCodebook:
    """Make centroids from one pass over a store's documents, keeping a sample of their vectors in memory.

    Args:
        batches: the documents.
        stats: how many they are, and how many vectors they have.
        parameters: how many centroids, from how many vectors, in how many rounds.
        executor: computes the centroids, where it has kernels for them.
        advance: called with the vectors that were assigned.

    Raises:
        EmptySelectionError: there are no documents.
    """
    total = stats.total_vector_count
    wanted = min(parameters.n_centroids or default_centroid_count(max(1, total)), total)
    generator = np.random.default_rng(parameters.seed)
    sampler = _Sampler(total, min(total, wanted * parameters.sample_per_centroid), stats.document_count, generator)
    for batch in batches:
        sampler.add(batch)
    sample = sampler.sample()
    if not len(sample):
        raise kayak.EmptySelectionError(f"store {stats.kind!r} holds no documents; upsert some first")
    centroids = spherical_kmeans(
        sample,
        min(wanted, len(sample)),
        iterations=parameters.iterations,
        kernels=lambda some: centroid_kernels(executor, some),
        generator=generator,
        advance=advance,
    )
    fit = CentroidFit.of_values(sampler.fit(centroid_kernels(executor, centroids)))
    return CentroidCodebook.made(centroids, parameters, kernels_name(executor), total, fit)


class _Sampler:
    """Takes vectors drawn without replacement, and every n-th document, from a stream."""

    def __init__(self, total: int, count: int, documents: int, generator: np.random.Generator) -> None:
        self._drawn = np.sort(generator.choice(total, count, replace=False, shuffle=False))
        self._seen = self._documents = 0
        self._step = max(1, documents // _FIT_DOCUMENTS)
        self._vectors: list[Float32Matrix] = []
        self._kept: list[Float32Matrix] = []

    def add(self, batch: kayak.LateDocuments) -> None:
        """Look at the next documents."""
        count = batch.total_vector_count
        first, last = np.searchsorted(self._drawn, (self._seen, self._seen + count))
        self._vectors.append(batch.block.float32_rows(self._drawn[first:last] - self._seen))
        self._seen += count
        for number in range(-self._documents % self._step, batch.document_count, self._step):
            self._kept.append(np.array(batch.token_matrices[number]))
        self._documents += batch.document_count

    def sample(self) -> Float32Matrix:
        """Return the drawn vectors; fewer where the stream was shorter than announced."""
        return np.concatenate(self._vectors) if self._vectors else np.empty((0, 1), np.float32)

    def fit(self, kernels: kayak.CentroidKernels) -> Float32Vector:
        """Return the mean cosine of each kept document."""
        vectors = np.ascontiguousarray(np.concatenate(self._kept))
        counts = np.array([len(matrix) for matrix in self._kept], dtype=np.int64)
        return document_cosines(vectors, kernels.assign(vectors)[1], counts)
