"""`ResidualMaxsim`: stage 2 over residual codes, with exact scores for the best of them on request."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import kayak
import numpy as np

from kayak_centroids.codes import IndexCodes, build_codes
from kayak_centroids.generator import CentroidInteraction, whole
from kayak_centroids.residual_scores import residual_scores
from kayak_centroids.residuals import BITS
from kayak_centroids.stored_codes import StoredCodes, attach_codes, codes_name
from kayak_centroids.structure import DEFAULT_ITERATIONS, DEFAULT_SAMPLE_PER_CENTROID

_VECTORS = kayak.Stage2ReferenceOperator.family


def _known_bits(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in BITS or isinstance(value, bool | float):
        raise kayak.InvalidInputError(f"{attribute.name} must be 2 or 4, got {value!r}")


@attrs.frozen(kw_only=True)
class ResidualMaxsim(kayak.Stage2ReferenceOperator):
    """Scores the window by MaxSim over residual codes, which take a seventh to a thirteenth of the float32 vectors.

    Each token vector is kept as its centroid and 2 or 4 bits for each component of the difference (ColBERTv2, arXiv
    2112.01488). Scores from codes approximate MaxSim. With `rescore_k` they choose that many documents, whose scores
    are then exact MaxSim over the vectors: hits have exact scores only, and without it approximate ones only;
    `score_kind` and the profile say which.

    Codes are made once an index, over the centroids of `CentroidInteraction` with the same parameters, or come from the
    store, see `kayak_centroids.store_codes`.

    Attributes:
        residual_bits: bits of a component: 2 or 4.
        rescore_k: documents that get exact scores, at least as many as are returned; None returns approximate scores.
        n_centroids: centroids; None chooses by the number of token vectors.
        seed: draws samples and the first centroids; equal seeds give equal codes.
        iterations: rounds of k-means.
        sample_per_centroid: token vectors that k-means sees, for each centroid.

    Raises:
        InvalidTypeError: a parameter that is no integer.
        InvalidInputError: bits other than 2 and 4, or a parameter out of range.
    """

    kind: ClassVar[str] = "residual_maxsim"
    family: ClassVar[str] = "residual_codes"

    residual_bits: int = attrs.field(default=4, validator=_known_bits)
    rescore_k: int | None = attrs.field(default=None, validator=attrs.validators.optional(whole(1)))
    n_centroids: int | None = None
    seed: int = 0
    iterations: int = DEFAULT_ITERATIONS
    sample_per_centroid: int = DEFAULT_SAMPLE_PER_CENTROID

    def __attrs_post_init__(self) -> None:
        self.centroids  # noqa: B018 - checks the parameters that it shares with the generator

    @property
    def centroids(self) -> CentroidInteraction:
        """The generator whose centroids the codes refer to."""
        return CentroidInteraction(
            n_centroids=self.n_centroids,
            seed=self.seed,
            iterations=self.iterations,
            sample_per_centroid=self.sample_per_centroid,
        )

    @property
    def required_artifact_families(self) -> tuple[str, ...]:
        """Token vectors where scores are to be exact; codes are prepared with the index."""
        return () if self.rescore_k is None else (_VECTORS,)

    @property
    def score_kind(self) -> str:
        """What the scores are: "residual_score", an approximation, or "exact_score" with `rescore_k`."""
        return "residual_score" if self.rescore_k is None else super().score_kind

    def prepare(
        self, index: kayak.LateIndex, executor: kayak.Executor, *, show_progress: bool | None = None
    ) -> kayak.Prepared:
        """Return the index's prepared `IndexCodes`, making them on first use; see `LateIndex.prepare`.

        Raises:
            StoreCorruptError: stored vectors or codes do not match their checksum.
            StoreVersionError: stored codes of another format.
            BackendUnavailableError: the executor cannot run here.
            MissingDependencyError: a progress bar is asked for and tqdm is not installed.
        """
        key = (self.kind, self.residual_bits, self.centroids.build_parameters, executor.name)
        return index.prepare(key, lambda: self._codes(index, executor, show_progress))

    def _codes(self, index: kayak.LateIndex, executor: kayak.Executor, show_progress: bool | None) -> IndexCodes:
        """Take what the store keeps, extended by the documents that it lacks, or make codes for this index."""
        notes: tuple[str, ...] = ()
        if index.origin is not None:
            name = codes_name(self.residual_bits, self.centroids.build_parameters)
            try:
                parts = index.origin.artifacts.read(name)
            except kayak.StoreClosedError:
                parts = ()
                notes = ("the store is closed, so codes that it keeps were not looked for: made for this index alone",)
            if parts:
                stored = StoredCodes.of_parts(name, parts)
                return attach_codes(stored, index, index.origin.document_keys, executor, show_progress).codes
            notes = notes or (
                f"the store keeps no {self.residual_bits}-bit codes of these parameters: made for this index alone; "
                "kayak_centroids.store_codes(store, operator) keeps them",
            )
        return attrs.evolve(self.make(index, executor, show_progress=show_progress), origin_notes=notes)

    def make(self, index: kayak.LateIndex, executor: kayak.Executor, *, show_progress: bool | None) -> IndexCodes:
        """Make codes for an index, whatever its store keeps; raises what `prepare` does."""
        centroids = self.centroids.prepare(index, executor, show_progress=show_progress)
        return build_codes(index, self.residual_bits, centroids, self.seed, executor, show_progress)

    def refine(
        self, query: kayak.LateQuery, window: kayak.CandidateWindow, *, k: int, executor: kayak.Executor
    ) -> kayak.StageResult:
        """Score the window's codes and keep the `k` best; see `Stage2ReferenceOperator.refine`.

        With `rescore_k`, the result's scores are those of the documents that were scored exactly.

        Raises:
            UnsupportedOperationError: stage 1 ran inside a store, so that there is no index whose codes could be read.
            InvalidInputError: query and index differ in dimension.
            ScoreOverflowError: a score left the range of float32.
            StoreCorruptError, StoreVersionError, BackendUnavailableError: see `prepare`.
        """
        corpus = window.corpus
        if corpus is None:
            raise kayak.UnsupportedOperationError(
                f"{self.kind} reads codes that are prepared for an index, but {window.candidates.generator.kind!r} "
                "chose the window inside a store; use kayak.exact_late_interaction_stage2_reference_operator() with "
                "it, or a generator that runs over an index"
            )
        kayak.check_dimensions(query.vector_dim, corpus)
        prepared = self.prepare(corpus, executor)
        codes: IndexCodes = prepared.value
        candidates = window.candidates
        numbers = corpus.numbers_of(candidates.candidate_doc_ids)
        values, read = residual_scores(query.as_vector_matrix(), codes, numbers)
        values.flags.writeable = False
        vectors = int(codes.vector_counts[numbers].sum())
        profile = kayak.SearchStageProfile(
            self.kind,
            len(numbers),
            min(k, len(numbers)),
            query_vector_count=query.vector_count,
            document_count=len(numbers),
            document_vector_count=vectors,
            bytes_read=read + (codes.bytes_read if prepared.built_now else 0),
            executor=kayak.NUMPY_REFERENCE_BACKEND,
            preparation=codes.description,
            preparation_seconds=prepared.elapsed_seconds if prepared.built_now else 0.0,
            notes=(f"{vectors} vectors scored from {self.residual_bits}-bit codes, {read} bytes", *codes.origin_notes),
        )
        if self.rescore_k is None:
            scores = kayak.LateScores(
                kayak.NUMPY_REFERENCE_BACKEND, candidates.candidate_doc_ids, values, query.vector_count
            )
            said = f"scores are approximate ({self.score_kind})"
            return kayak.StageResult(scores, scores.topk(k), attrs.evolve(profile, notes=(said, *profile.notes)))
        best = np.sort(np.argsort(-values, kind="stable")[: max(k, self.rescore_k)])  # in window order
        exact = window.index.take(best)
        rescored = kayak.score_index(executor, kayak.LateQueryBatch((query,)), exact)[0]
        scores = kayak.LateScores(executor.name, exact.doc_ids, rescored, query.vector_count)
        said = f"scores are exact MaxSim ({self.score_kind}) of the {len(best)} best by their codes"
        return kayak.StageResult(
            scores,
            scores.topk(k),
            attrs.evolve(
                profile,
                materialized_artifacts=(
                    kayak.StageArtifactMaterialization(_VECTORS, len(best), exact.total_vector_count),
                ),
                bytes_read=profile.bytes_read + exact.vector_byte_size,
                executor=executor.name,
                notes=(said, *profile.notes),
            ),
        )
