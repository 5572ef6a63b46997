"""The contracts between the core and whatever fulfils them: encoders, stores, generators, operators, executors."""

from kayak.contracts.base_store import BaseLateStore
from kayak.contracts.candidate_stage import CandidateStageResult
from kayak.contracts.candidates import CandidateGenerator
from kayak.contracts.centroids import CentroidExecutor, CentroidKernels
from kayak.contracts.database_store import (
    CandidateSearch,
    DatabaseLateStore,
    FoundCandidates,
    StoreSelection,
    filter_notes,
)
from kayak.contracts.encoder import BatchTextEncoder, LateTextEncoder, encoder_fingerprint
from kayak.contracts.executor import BackendInfo, Executor, check_dimensions, score_index
from kayak.contracts.metadata import metadata_json
from kayak.contracts.plan import SearchPlan, SearchPlanResult
from kayak.contracts.postings import (
    Codebook,
    DocumentPostings,
    FoundPostings,
    KeepsPostings,
    PostingsQuery,
    PostingsSearch,
    PostingsStats,
    UnpostedDocuments,
)
from kayak.contracts.postings_store import PostingsDatabaseStore, PostingsEngine
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
from kayak.contracts.store_checks import codebook_mismatch
from kayak.contracts.store_rows import StoredDocument, row_batches
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
    "CandidateSearch",
    "CandidateStageResult",
    "CandidateWindow",
    "CentroidExecutor",
    "CentroidKernels",
    "Codebook",
    "Comparison",
    "DatabaseLateStore",
    "DocumentPostings",
    "Executor",
    "FoundCandidates",
    "FoundPostings",
    "KeepsPostings",
    "LateStore",
    "LateStoreStats",
    "LateTextEncoder",
    "Not",
    "Or",
    "PostingsDatabaseStore",
    "PostingsEngine",
    "PostingsQuery",
    "PostingsSearch",
    "PostingsStats",
    "ReferenceScoringSemantics",
    "SearchPlan",
    "SearchPlanResult",
    "SearchStageProfile",
    "Stage2ReferenceOperator",
    "Stage3VerifierOperator",
    "StageArtifactMaterialization",
    "StageResult",
    "StoreCapabilities",
    "StoreSelection",
    "StoredDocument",
    "UnpostedDocuments",
    "Where",
    "check_dimensions",
    "codebook_mismatch",
    "encoder_fingerprint",
    "exact_late_interaction_reference_scoring_semantics",
    "filter_notes",
    "metadata_json",
    "parse_where",
    "row_batches",
    "score_index",
]
