"""The contracts between the core and whatever fulfils them: encoders, stores, generators, operators, executors."""

from kayak.contracts.base_store import BaseLateStore, StoredDocument
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.candidates import CandidateGenerator
from kayak.contracts.encoder import BatchTextEncoder, LateTextEncoder, encoder_fingerprint
from kayak.contracts.executor import BackendInfo, Executor, score_index
from kayak.contracts.plan import SearchPlan, SearchPlanResult
from kayak.contracts.profile import (
    DOCUMENT_TEXT_FAMILY,
    LATE_INTERACTION_FAMILY,
    SearchStageProfile,
    StageArtifactMaterialization,
)
from kayak.contracts.stages import (
    CandidateWindow,
    ReferenceScoringSemantics,
    Stage2ReferenceOperator,
    Stage3VerifierOperator,
    StageResult,
    exact_late_interaction_reference_scoring_semantics,
)
from kayak.contracts.store import DEFAULT_EXPORT_BATCH, LateStore, LateStoreStats, StoreCapabilities
from kayak.contracts.where import And, Comparison, Not, Or, Where, parse_where

__all__ = [
    "DEFAULT_EXPORT_BATCH",
    "DOCUMENT_TEXT_FAMILY",
    "LATE_INTERACTION_FAMILY",
    "And",
    "BackendInfo",
    "BaseLateStore",
    "BatchTextEncoder",
    "CandidateGenerator",
    "CandidateStageResult",
    "CandidateWindow",
    "Comparison",
    "Executor",
    "LateStore",
    "LateStoreStats",
    "LateTextEncoder",
    "Not",
    "Or",
    "ReferenceScoringSemantics",
    "SearchPlan",
    "SearchPlanResult",
    "SearchStageProfile",
    "Stage2ReferenceOperator",
    "Stage3VerifierOperator",
    "StageArtifactMaterialization",
    "StageResult",
    "StoreCapabilities",
    "StoredDocument",
    "Where",
    "encoder_fingerprint",
    "exact_late_interaction_reference_scoring_semantics",
    "parse_where",
    "score_index",
]
