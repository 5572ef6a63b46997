"""Kayak: late-interaction retrieval in plain Python.

Late interaction keeps one vector a token and scores a document by MaxSim: each query token finds its best document
token, and the maxima add up. Start with `kayak.open_text_retriever` (texts in, ranking out), or with `kayak.query`,
`kayak.documents` and `kayak.search` (vectors in, ranking out); `print(kayak.help())` lists everything.

Everything public is importable from here, and from `kayak.typing`, `kayak.errors` and `kayak.testing`. Names are
loaded when they are first used, so that `import kayak` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kayak.builtin.callable_encoder import (
        CallableLateTextEncoder as CallableLateTextEncoder,
    )
    from kayak.builtin.directory import (
        DirectoryLateStore as DirectoryLateStore,
    )
    from kayak.builtin.directory import (
        import_kayak_03_store as import_kayak_03_store,
    )
    from kayak.builtin.hashing import (
        HashingEncoder as HashingEncoder,
    )
    from kayak.builtin.memory_store import (
        MemoryLateStore as MemoryLateStore,
    )
    from kayak.contracts import (
        And as And,
    )
    from kayak.contracts import (
        BackendInfo as BackendInfo,
    )
    from kayak.contracts import (
        BaseLateStore as BaseLateStore,
    )
    from kayak.contracts import (
        BatchTextEncoder as BatchTextEncoder,
    )
    from kayak.contracts import (
        CandidateGenerator as CandidateGenerator,
    )
    from kayak.contracts import (
        CandidateSearch as CandidateSearch,
    )
    from kayak.contracts import (
        CandidateStageResult as CandidateStageResult,
    )
    from kayak.contracts import (
        CandidateWindow as CandidateWindow,
    )
    from kayak.contracts import (
        CentroidExecutor as CentroidExecutor,
    )
    from kayak.contracts import (
        CentroidKernels as CentroidKernels,
    )
    from kayak.contracts import (
        Codebook as Codebook,
    )
    from kayak.contracts import (
        Comparison as Comparison,
    )
    from kayak.contracts import (
        DatabaseLateStore as DatabaseLateStore,
    )
    from kayak.contracts import (
        DocumentPostings as DocumentPostings,
    )
    from kayak.contracts import (
        Executor as Executor,
    )
    from kayak.contracts import (
        FoundCandidates as FoundCandidates,
    )
    from kayak.contracts import (
        FoundPostings as FoundPostings,
    )
    from kayak.contracts import (
        KeepsPostings as KeepsPostings,
    )
    from kayak.contracts import (
        LateStore as LateStore,
    )
    from kayak.contracts import (
        LateStoreStats as LateStoreStats,
    )
    from kayak.contracts import (
        LateTextEncoder as LateTextEncoder,
    )
    from kayak.contracts import (
        Not as Not,
    )
    from kayak.contracts import (
        Or as Or,
    )
    from kayak.contracts import (
        PostingsDatabaseStore as PostingsDatabaseStore,
    )
    from kayak.contracts import (
        PostingsEngine as PostingsEngine,
    )
    from kayak.contracts import (
        PostingsQuery as PostingsQuery,
    )
    from kayak.contracts import (
        PostingsSearch as PostingsSearch,
    )
    from kayak.contracts import (
        PostingsStats as PostingsStats,
    )
    from kayak.contracts import (
        ReferenceScoringSemantics as ReferenceScoringSemantics,
    )
    from kayak.contracts import (
        SearchPlan as SearchPlan,
    )
    from kayak.contracts import (
        SearchPlanResult as SearchPlanResult,
    )
    from kayak.contracts import (
        SearchStageProfile as SearchStageProfile,
    )
    from kayak.contracts import (
        Stage2ReferenceOperator as Stage2ReferenceOperator,
    )
    from kayak.contracts import (
        Stage3VerifierOperator as Stage3VerifierOperator,
    )
    from kayak.contracts import (
        StageArtifactMaterialization as StageArtifactMaterialization,
    )
    from kayak.contracts import (
        StageResult as StageResult,
    )
    from kayak.contracts import (
        StoreCapabilities as StoreCapabilities,
    )
    from kayak.contracts import (
        StoredDocument as StoredDocument,
    )
    from kayak.contracts import (
        StoreSelection as StoreSelection,
    )
    from kayak.contracts import (
        UnpostedDocuments as UnpostedDocuments,
    )
    from kayak.contracts import (
        Where as Where,
    )
    from kayak.contracts import (
        check_dimensions as check_dimensions,
    )
    from kayak.contracts import (
        codebook_mismatch as codebook_mismatch,
    )
    from kayak.contracts import (
        exact_late_interaction_reference_scoring_semantics as exact_late_interaction_reference_scoring_semantics,
    )
    from kayak.contracts import (
        metadata_json as metadata_json,
    )
    from kayak.contracts import (
        parse_where as parse_where,
    )
    from kayak.contracts import (
        row_batches as row_batches,
    )
    from kayak.contracts import (
        score_index as score_index,
    )
    from kayak.environment import (
        available_backends as available_backends,
    )
    from kayak.environment import (
        backend_info as backend_info,
    )
    from kayak.environment import (
        cache_folder as cache_folder,
    )
    from kayak.environment import (
        doctor as doctor,
    )
    from kayak.environment import (
        help as help,
    )
    from kayak.environment import (
        mojo_bridge_info as mojo_bridge_info,
    )
    from kayak.errors import (
        BackendUnavailableError as BackendUnavailableError,
    )
    from kayak.errors import (
        CodebookMismatchError as CodebookMismatchError,
    )
    from kayak.errors import (
        DuplicateKindError as DuplicateKindError,
    )
    from kayak.errors import (
        EmptySelectionError as EmptySelectionError,
    )
    from kayak.errors import (
        EncoderMismatchError as EncoderMismatchError,
    )
    from kayak.errors import (
        EncoderUnavailableError as EncoderUnavailableError,
    )
    from kayak.errors import (
        EncodingError as EncodingError,
    )
    from kayak.errors import (
        FilterError as FilterError,
    )
    from kayak.errors import (
        InvalidInputError as InvalidInputError,
    )
    from kayak.errors import (
        InvalidTypeError as InvalidTypeError,
    )
    from kayak.errors import (
        KayakError as KayakError,
    )
    from kayak.errors import (
        MissingDependencyError as MissingDependencyError,
    )
    from kayak.errors import (
        PluginError as PluginError,
    )
    from kayak.errors import (
        ScoreOverflowError as ScoreOverflowError,
    )
    from kayak.errors import (
        StoreAccessError as StoreAccessError,
    )
    from kayak.errors import (
        StoreBusyError as StoreBusyError,
    )
    from kayak.errors import (
        StoreClosedError as StoreClosedError,
    )
    from kayak.errors import (
        StoreCorruptError as StoreCorruptError,
    )
    from kayak.errors import (
        StoreError as StoreError,
    )
    from kayak.errors import (
        StorePathError as StorePathError,
    )
    from kayak.errors import (
        StoreSchemaError as StoreSchemaError,
    )
    from kayak.errors import (
        StoreUnavailableError as StoreUnavailableError,
    )
    from kayak.errors import (
        StoreVersionError as StoreVersionError,
    )
    from kayak.errors import (
        StoreWriteError as StoreWriteError,
    )
    from kayak.errors import (
        UnknownKindError as UnknownKindError,
    )
    from kayak.errors import (
        UnsupportedOperationError as UnsupportedOperationError,
    )
    from kayak.evaluation import (
        EvaluationResult as EvaluationResult,
    )
    from kayak.evaluation import (
        PlanComparison as PlanComparison,
    )
    from kayak.evaluation import (
        RetrievalDataset as RetrievalDataset,
    )
    from kayak.evaluation import (
        ScanRates as ScanRates,
    )
    from kayak.evaluation import (
        SignificanceTest as SignificanceTest,
    )
    from kayak.evaluation import (
        TuningResult as TuningResult,
    )
    from kayak.evaluation import (
        compare_plans as compare_plans,
    )
    from kayak.evaluation import (
        evaluate as evaluate,
    )
    from kayak.evaluation import (
        measure_scan_rates as measure_scan_rates,
    )
    from kayak.evaluation import (
        read_beir as read_beir,
    )
    from kayak.evaluation import (
        read_ir_dataset as read_ir_dataset,
    )
    from kayak.evaluation import (
        read_trec_qrels as read_trec_qrels,
    )
    from kayak.evaluation import (
        read_trec_run as read_trec_run,
    )
    from kayak.evaluation import (
        tune_plan as tune_plan,
    )
    from kayak.evaluation import (
        write_trec_run as write_trec_run,
    )
    from kayak.explanation import (
        Explanation as Explanation,
    )
    from kayak.explanation import (
        explain as explain,
    )
    from kayak.hookspecs import (
        hookimpl as hookimpl,
    )
    from kayak.plugins import (
        PluginInfo as PluginInfo,
    )
    from kayak.plugins import (
        available_candidate_generator_kinds as available_candidate_generator_kinds,
    )
    from kayak.plugins import (
        available_encoder_kinds as available_encoder_kinds,
    )
    from kayak.plugins import (
        available_stage_operator_kinds as available_stage_operator_kinds,
    )
    from kayak.plugins import (
        available_store_kinds as available_store_kinds,
    )
    from kayak.plugins import (
        find_executor as find_executor,
    )
    from kayak.plugins import (
        list_plugins as list_plugins,
    )
    from kayak.plugins import (
        open_candidate_generator as open_candidate_generator,
    )
    from kayak.plugins import (
        open_encoder as open_encoder,
    )
    from kayak.plugins import (
        open_stage_operator as open_stage_operator,
    )
    from kayak.plugins import (
        open_store as open_store,
    )
    from kayak.plugins import (
        register_candidate_generator as register_candidate_generator,
    )
    from kayak.plugins import (
        register_encoder as register_encoder,
    )
    from kayak.plugins import (
        register_executor as register_executor,
    )
    from kayak.plugins import (
        register_stage_operator as register_stage_operator,
    )
    from kayak.plugins import (
        register_store as register_store,
    )
    from kayak.retrieval import (
        LateTextRetriever as LateTextRetriever,
    )
    from kayak.retrieval import (
        LateTextSearchSession as LateTextSearchSession,
    )
    from kayak.retrieval import (
        copy_store as copy_store,
    )
    from kayak.retrieval import (
        open_text_retriever as open_text_retriever,
    )
    from kayak.retrieval import (
        progress_bar as progress_bar,
    )
    from kayak.searching import (
        clause_text_stage3_verifier_operator as clause_text_stage3_verifier_operator,
    )
    from kayak.searching import (
        document_proxy_candidate_generator as document_proxy_candidate_generator,
    )
    from kayak.searching import (
        document_proxy_search_plan as document_proxy_search_plan,
    )
    from kayak.searching import (
        exact_full_scan_candidate_generator as exact_full_scan_candidate_generator,
    )
    from kayak.searching import (
        exact_full_scan_clause_text_search_plan as exact_full_scan_clause_text_search_plan,
    )
    from kayak.searching import (
        exact_full_scan_search_plan as exact_full_scan_search_plan,
    )
    from kayak.searching import (
        exact_late_interaction_stage2_reference_operator as exact_late_interaction_stage2_reference_operator,
    )
    from kayak.searching import (
        generate_candidates as generate_candidates,
    )
    from kayak.searching import (
        maxsim as maxsim,
    )
    from kayak.searching import (
        maxsim_batch as maxsim_batch,
    )
    from kayak.searching import (
        none_stage3_verifier_operator as none_stage3_verifier_operator,
    )
    from kayak.searching import (
        noop_topk_stage2_reference_operator as noop_topk_stage2_reference_operator,
    )
    from kayak.searching import (
        search as search,
    )
    from kayak.searching import (
        search_batch as search_batch,
    )
    from kayak.searching import (
        search_batch_with_plan as search_batch_with_plan,
    )
    from kayak.searching import (
        search_with_plan as search_with_plan,
    )
    from kayak.searching import (
        store_native_candidate_generator as store_native_candidate_generator,
    )
    from kayak.searching import (
        store_native_search_plan as store_native_search_plan,
    )
    from kayak.specs import (
        CandidateGeneratorSpec as CandidateGeneratorSpec,
    )
    from kayak.specs import (
        EncoderSpec as EncoderSpec,
    )
    from kayak.specs import (
        ExecutorSpec as ExecutorSpec,
    )
    from kayak.specs import (
        StageOperatorSpec as StageOperatorSpec,
    )
    from kayak.specs import (
        StoreSpec as StoreSpec,
    )
    from kayak.values import (
        ArtifactPart as ArtifactPart,
    )
    from kayak.values import (
        ArtifactShelf as ArtifactShelf,
    )
    from kayak.values import (
        IndexBlock as IndexBlock,
    )
    from kayak.values import (
        IndexOrigin as IndexOrigin,
    )
    from kayak.values import (
        IndexSlice as IndexSlice,
    )
    from kayak.values import (
        KeepsArtifacts as KeepsArtifacts,
    )
    from kayak.values import (
        LateDocuments as LateDocuments,
    )
    from kayak.values import (
        LateIndex as LateIndex,
    )
    from kayak.values import (
        LateQuery as LateQuery,
    )
    from kayak.values import (
        LateQueryBatch as LateQueryBatch,
    )
    from kayak.values import (
        LateScores as LateScores,
    )
    from kayak.values import (
        Prepared as Prepared,
    )
    from kayak.values import (
        SearchHit as SearchHit,
    )
    from kayak.values import (
        documents as documents,
    )
    from kayak.values import (
        flat_query_dim128 as flat_query_dim128,
    )
    from kayak.values import (
        hybrid_flat_dim128_index as hybrid_flat_dim128_index,
    )
    from kayak.values import (
        packed_index as packed_index,
    )
    from kayak.values import (
        query as query,
    )
    from kayak.values import (
        query_batch as query_batch,
    )
    from kayak.values.backend_names import (
        MOJO_EXACT_CPU_BACKEND as MOJO_EXACT_CPU_BACKEND,
    )
    from kayak.values.backend_names import (
        NUMPY_REFERENCE_BACKEND as NUMPY_REFERENCE_BACKEND,
    )

__version__ = "1.0.0"

_HOMES: dict[str, tuple[str, ...]] = {
    "kayak.builtin.callable_encoder": ("CallableLateTextEncoder",),
    "kayak.builtin.directory": (
        "DirectoryLateStore",
        "import_kayak_03_store",
    ),
    "kayak.builtin.hashing": ("HashingEncoder",),
    "kayak.builtin.memory_store": ("MemoryLateStore",),
    "kayak.contracts": (
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
        "exact_late_interaction_reference_scoring_semantics",
        "metadata_json",
        "parse_where",
        "row_batches",
        "score_index",
    ),
    "kayak.environment": (
        "available_backends",
        "backend_info",
        "cache_folder",
        "doctor",
        "help",
        "mojo_bridge_info",
    ),
    "kayak.errors": (
        "BackendUnavailableError",
        "CodebookMismatchError",
        "DuplicateKindError",
        "EmptySelectionError",
        "EncoderMismatchError",
        "EncoderUnavailableError",
        "EncodingError",
        "FilterError",
        "InvalidInputError",
        "InvalidTypeError",
        "KayakError",
        "MissingDependencyError",
        "PluginError",
        "ScoreOverflowError",
        "StoreAccessError",
        "StoreBusyError",
        "StoreClosedError",
        "StoreCorruptError",
        "StoreError",
        "StorePathError",
        "StoreSchemaError",
        "StoreUnavailableError",
        "StoreVersionError",
        "StoreWriteError",
        "UnknownKindError",
        "UnsupportedOperationError",
    ),
    "kayak.evaluation": (
        "EvaluationResult",
        "PlanComparison",
        "RetrievalDataset",
        "ScanRates",
        "SignificanceTest",
        "TuningResult",
        "compare_plans",
        "evaluate",
        "measure_scan_rates",
        "read_beir",
        "read_ir_dataset",
        "read_trec_qrels",
        "read_trec_run",
        "tune_plan",
        "write_trec_run",
    ),
    "kayak.explanation": (
        "Explanation",
        "explain",
    ),
    "kayak.hookspecs": ("hookimpl",),
    "kayak.plugins": (
        "PluginInfo",
        "available_candidate_generator_kinds",
        "available_encoder_kinds",
        "available_stage_operator_kinds",
        "available_store_kinds",
        "find_executor",
        "list_plugins",
        "open_candidate_generator",
        "open_encoder",
        "open_stage_operator",
        "open_store",
        "register_candidate_generator",
        "register_encoder",
        "register_executor",
        "register_stage_operator",
        "register_store",
    ),
    "kayak.retrieval": (
        "LateTextRetriever",
        "LateTextSearchSession",
        "copy_store",
        "open_text_retriever",
        "progress_bar",
    ),
    "kayak.searching": (
        "clause_text_stage3_verifier_operator",
        "document_proxy_candidate_generator",
        "document_proxy_search_plan",
        "exact_full_scan_candidate_generator",
        "exact_full_scan_clause_text_search_plan",
        "exact_full_scan_search_plan",
        "exact_late_interaction_stage2_reference_operator",
        "generate_candidates",
        "maxsim",
        "maxsim_batch",
        "none_stage3_verifier_operator",
        "noop_topk_stage2_reference_operator",
        "search",
        "search_batch",
        "search_batch_with_plan",
        "search_with_plan",
        "store_native_candidate_generator",
        "store_native_search_plan",
    ),
    "kayak.specs": (
        "CandidateGeneratorSpec",
        "EncoderSpec",
        "ExecutorSpec",
        "StageOperatorSpec",
        "StoreSpec",
    ),
    "kayak.values": (
        "IndexBlock",
        "ArtifactPart",
        "ArtifactShelf",
        "IndexOrigin",
        "IndexSlice",
        "KeepsArtifacts",
        "LateDocuments",
        "LateIndex",
        "LateQuery",
        "LateQueryBatch",
        "LateScores",
        "Prepared",
        "SearchHit",
        "documents",
        "flat_query_dim128",
        "hybrid_flat_dim128_index",
        "packed_index",
        "query",
        "query_batch",
    ),
    "kayak.values.backend_names": (
        "MOJO_EXACT_CPU_BACKEND",
        "NUMPY_REFERENCE_BACKEND",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_PUBLIC_MODULES = ("errors", "testing", "typing")

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - the names of the table above

if not TYPE_CHECKING:  # a visible __getattr__ would make type checkers accept any name

    def __getattr__(name: str) -> object:
        import importlib

        if name in _HOME_OF:
            value = getattr(importlib.import_module(_HOME_OF[name]), name)
            globals()[name] = value
            return value
        if name in _PUBLIC_MODULES:
            return importlib.import_module(f"kayak.{name}")
        import difflib

        near = difflib.get_close_matches(name, __all__, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'kayak' has no attribute {name!r}{hint}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted({*__all__, *_PUBLIC_MODULES, *globals()})
