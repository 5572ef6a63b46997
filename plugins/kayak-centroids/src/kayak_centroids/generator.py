"""`CentroidInteraction`: candidates from inverted lists of token centroids."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import kayak
import numpy as np
from kayak.typing import Float32Matrix, Int32Matrix

from kayak_centroids.numpy_kernels import centroid_kernels
from kayak_centroids.stored import StoredCentroids, artifact_name, attach
from kayak_centroids.structure import (
    DEFAULT_ITERATIONS,
    DEFAULT_SAMPLE_PER_CENTROID,
    BuildParameters,
    CentroidStructure,
    build_structure,
)

_BATCH_BYTES = 256 << 20
"""Scores computed at a time for a batch of queries."""

IMPUTED_RANK = 2
"""Whose similarity a document without a probed centroid gets: that of the centroid of rank this times `n_probe`."""


def whole(minimum: int) -> Any:
    """Return an attrs validator of integers from `minimum` on."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise kayak.InvalidTypeError(f"{attribute.name} must be an integer, got {type(value).__name__} {value!r}")
        if value < minimum:
            raise kayak.InvalidInputError(f"{attribute.name} must be ≥ {minimum}, got {value}")

    return check


@attrs.frozen(eq=False)
class PreparedCentroids:
    """A structure with the arithmetic over its centroids, kept with an index."""

    structure: CentroidStructure
    kernels: kayak.CentroidKernels


@attrs.frozen(kw_only=True)
class CentroidInteraction(kayak.CandidateGenerator):
    """Scores documents by the centroids of their token vectors, reading only the lists that a query probes.

    Each query vector probes its `n_probe` most similar centroids. A document gets the similarity of the best probed
    centroid that holds one of its vectors; where none does, that of the centroid of rank 2 · `n_probe` is imputed. The
    score is the sum over query vectors. Centroid interaction is PLAID's (arXiv 2205.09707), imputing missing
    similarities XTR's (arXiv 2304.01982) and WARP's (arXiv 2501.17788).

    Centroids and lists are built once an index, in time proportional to vectors × centroids. Vectors are best of unit
    length: centroids stand for directions.

    Attributes:
        n_probe: centroids that each query vector probes: the knob of recall against cost.
        n_centroids: centroids; None chooses by the number of token vectors, see
            `kayak_centroids.default_centroid_count`.
        seed: draws the sample and the first centroids; equal seeds give equal centroids.
        iterations: rounds of k-means.
        sample_per_centroid: token vectors that k-means sees, for each centroid.

    Raises:
        InvalidTypeError: a parameter that is no integer.
        InvalidInputError: a parameter below 1, or a negative seed.
    """

    kind: ClassVar[str] = "centroid_interaction"
    family: ClassVar[str] = "centroids"
    score_kind: ClassVar[str] = "centroid_score"

    n_probe: int = attrs.field(default=16, validator=whole(1))
    n_centroids: int | None = attrs.field(default=None, validator=attrs.validators.optional(whole(1)))
    seed: int = attrs.field(default=0, validator=whole(0))
    iterations: int = attrs.field(default=DEFAULT_ITERATIONS, validator=whole(1))
    sample_per_centroid: int = attrs.field(default=DEFAULT_SAMPLE_PER_CENTROID, validator=whole(1))

    def prepare(
        self, index: kayak.LateIndex, executor: kayak.Executor, *, show_progress: bool | None = None
    ) -> kayak.Prepared:
        """Return the index's prepared centroids, building them on first use; see `LateIndex.prepare`.

        The result's `value` is a `PreparedCentroids`. Each executor has its own: their rounding differs, and equal
        searches give equal results, whatever ran before.
        """

        def build() -> PreparedCentroids:
            structure = self._structure(index, executor, show_progress)
            return PreparedCentroids(structure, centroid_kernels(executor, structure.centroids))

        return index.prepare((self.kind, self.build_parameters, executor.name), build)

    @property
    def build_parameters(self) -> BuildParameters:
        """What the centroids and lists depend on."""
        return BuildParameters(
            n_centroids=self.n_centroids,
            seed=self.seed,
            iterations=self.iterations,
            sample_per_centroid=self.sample_per_centroid,
        )

    def _structure(
        self, index: kayak.LateIndex, executor: kayak.Executor, show_progress: bool | None
    ) -> CentroidStructure:
        """Take what the store keeps, extended by the documents that it lacks, or build it for this index."""
        notes: tuple[str, ...] = ()
        if index.origin is not None:
            name = artifact_name(self.build_parameters)
            try:
                parts = index.origin.artifacts.read(name)
            except kayak.StoreClosedError:
                parts = ()
                notes = ("the store is closed, so what it keeps was not looked for: built for this index alone",)
            if parts:
                stored = StoredCentroids.of_parts(name, parts)
                return attach(stored, index, index.origin.document_keys, executor, show_progress).structure
            notes = notes or (
                "the store keeps no centroids of these parameters: built for this index alone; "
                "kayak_centroids.store_centroids(store, generator) keeps them",
            )
        built = build_structure(index, self.build_parameters, executor, show_progress)
        return attrs.evolve(built, origin_notes=notes)

    def generate(
        self, query: kayak.LateQuery, index: kayak.LateIndex, *, k: int, executor: kayak.Executor
    ) -> kayak.CandidateStageResult:
        """Score documents by their centroids and keep the `k` best; see `CandidateGenerator.generate`."""
        return self.generate_batch(kayak.LateQueryBatch((query,)), index, k=k, executor=executor)[0]

    def generate_batch(
        self, batch: kayak.LateQueryBatch, index: kayak.LateIndex, *, k: int, executor: kayak.Executor
    ) -> tuple[kayak.CandidateStageResult, ...]:
        """Probe all queries' vectors at once; see `CandidateGenerator.generate_batch`."""
        kayak.check_dimensions(batch.vector_dim, index)
        prepared = self.prepare(index, executor)
        centroids: PreparedCentroids = prepared.value
        structure = centroids.structure
        probed, gains, base = self._probe(centroids, batch.packed_vectors)
        touched = np.add.reduceat(structure.list_lengths[probed].sum(axis=1), batch.offsets[:-1])
        results = []
        step = max(1, _BATCH_BYTES // (4 * index.document_count))
        for first in range(0, batch.batch_size, step):
            offsets = batch.offsets[first : min(first + step, batch.batch_size) + 1]
            rows = slice(int(offsets[0]), int(offsets[-1]))
            scores = structure.scores(centroids.kernels, probed[rows], gains[rows], offsets - offsets[0])
            scores += np.add.reduceat(base[rows], offsets[:-1] - offsets[0], dtype=np.float32)[:, np.newaxis]
            for place, values in enumerate(scores, start=first):
                built_now = prepared.built_now and place == 0
                profile = kayak.SearchStageProfile(
                    self.kind,
                    0,
                    min(k, index.document_count),
                    query_vector_count=batch.queries[place].vector_count,
                    document_count=index.document_count,
                    document_vector_count=len(structure.centroids),
                    bytes_read=structure.centroids.nbytes
                    + 4 * int(touched[place])
                    + (structure.bytes_read if built_now else 0),
                    executor=executor.name if isinstance(executor, kayak.CentroidExecutor) else None,
                    preparation=structure.description,
                    preparation_seconds=prepared.elapsed_seconds if built_now else 0.0,
                    notes=(
                        f"{int(touched[place])} postings read of {structure.posting_count}",
                        *structure.notes,
                    ),
                    posting_count=int(touched[place]),
                )
                values.flags.writeable = False
                found = kayak.LateScores(self.kind, index.doc_ids, values)  # ids and values align: nothing to check
                results.append(kayak.CandidateStageResult(self, found, found.topk(k), profile))
        return tuple(results)

    def _probe(
        self, centroids: PreparedCentroids, query_vectors: Float32Matrix
    ) -> tuple[Int32Matrix, Float32Matrix, Float32Matrix]:
        """Return the probed centroids, what each adds to a document over the imputed similarity, and the latter."""
        probes = min(self.n_probe, len(centroids.structure.centroids))
        count = min(IMPUTED_RANK * self.n_probe, len(centroids.structure.centroids))
        probed, similarities = centroids.kernels.probe(query_vectors, count)
        imputed = similarities[:, -1]
        return (
            np.ascontiguousarray(probed[:, :probes]),
            np.ascontiguousarray(similarities[:, :probes] - imputed[:, np.newaxis]),
            imputed,
        )
