"""The built-in operators of stage 2 and the empty verifier of stage 3."""

from __future__ import annotations

from typing import ClassVar

import attrs

from kayak.contracts import (
    LATE_INTERACTION_FAMILY,
    CandidateWindow,
    Executor,
    SearchStageProfile,
    Stage2ReferenceOperator,
    Stage3VerifierOperator,
    StageArtifactMaterialization,
    StageResult,
    score_index,
)
from kayak.values import LateQuery, LateQueryBatch, LateScores


@attrs.frozen
class NoopTopk(Stage2ReferenceOperator):
    """Passes the candidates on with the scores of stage 1, cut to `k`."""

    kind: ClassVar[str] = "noop_topk"
    family: ClassVar[str] = "none"
    executes_reference_scoring: ClassVar[bool] = False

    def refine(self, query: LateQuery, window: CandidateWindow, *, k: int, executor: Executor) -> StageResult:
        """Keep the first `k` candidates; see `Stage2ReferenceOperator.refine`."""
        candidates = window.candidates
        hits = candidates.hits[:k]
        scores = LateScores.from_values(
            candidates.scores.backend,
            candidates.candidate_doc_ids,
            [hit.score for hit in candidates.hits],
            query_vector_count=candidates.scores.query_vector_count,
        )
        return StageResult(scores, hits, SearchStageProfile(self.kind, len(candidates.hits), len(hits)))


@attrs.frozen
class ExactLateInteraction(Stage2ReferenceOperator):
    """Rescores the candidates by exact MaxSim over all their token vectors."""

    kind: ClassVar[str] = "exact_late_interaction"

    def refine(self, query: LateQuery, window: CandidateWindow, *, k: int, executor: Executor) -> StageResult:
        """Score the window and keep the `k` best; see `Stage2ReferenceOperator.refine`."""
        index = window.index
        values = score_index(executor, LateQueryBatch((query,)), index)[0]
        scores = LateScores(executor.name, index.doc_ids, values, query.vector_count)
        hits = scores.topk(k)
        vectors = index.total_vector_count
        profile = SearchStageProfile(
            self.kind,
            len(window.candidates.hits),
            len(hits),
            query_vector_count=query.vector_count,
            document_count=index.document_count,
            document_vector_count=vectors,
            materialized_artifacts=(
                StageArtifactMaterialization(LATE_INTERACTION_FAMILY, index.document_count, vectors),
            ),
            bytes_read=index.vector_byte_size,
            vector_dtype=index.vector_dtype,
            executor=executor.name,
        )
        return StageResult(scores, hits, profile)


@attrs.frozen
class NoVerifier(Stage3VerifierOperator):
    """Passes the hits of stage 2 on unchanged."""

    kind: ClassVar[str] = "none"
    family: ClassVar[str] = "none"
    is_noop: ClassVar[bool] = True

    def verify(self, query: LateQuery, window: CandidateWindow, prior: StageResult, *, k: int) -> StageResult:
        """Keep the first `k` hits; see `Stage3VerifierOperator.verify`."""
        hits = prior.hits[:k]
        return StageResult(prior.scores, hits, SearchStageProfile(self.kind, len(prior.hits), len(hits)))
