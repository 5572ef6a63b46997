"""Runs search plans, stage by stage, over an index or a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs

from kayak.contracts import (
    LATE_INTERACTION_FAMILY,
    CandidateGenerator,
    CandidateStageResult,
    CandidateWindow,
    Executor,
    LateStore,
    SearchPlan,
    SearchPlanResult,
    SearchStageProfile,
    StageArtifactMaterialization,
    StageResult,
    filter_notes,
    parse_where,
)
from kayak.contracts.search_checks import checked_batch, checked_index, checked_plan, checked_query
from kayak.errors import EmptySelectionError, InvalidInputError, InvalidTypeError
from kayak.plugins import find_executor
from kayak.typing import DocIdsInput, MetadataFilterInput
from kayak.values import LateIndex, LateQuery, LateQueryBatch
from kayak.values.backend_names import NUMPY_REFERENCE_BACKEND
from kayak.values.coerce import non_negative_int

_R = TypeVar("_R", CandidateStageResult, StageResult)

LOAD_STAGE = "load_index"


def generate_candidates(
    query: LateQuery,
    index: LateIndex,
    generator: CandidateGenerator,
    *,
    k: int,
    backend: str = NUMPY_REFERENCE_BACKEND,
) -> CandidateStageResult:
    """Run stage 1 alone over an index.

    Args:
        query: the encoded query.
        index: the documents to choose from.
        generator: for example `kayak.document_proxy_candidate_generator()`.
        k: size of the window, ≥ 1.
        backend: executor for generators that score exact MaxSim.

    Raises:
        InvalidTypeError: a value of the wrong type.
        InvalidInputError: `k` < 1, or query and index differ in dimension.
        UnsupportedOperationError: the generator runs inside a store, not over an index.
        UnknownKindError, BackendUnavailableError: see `maxsim`.
    """
    if not isinstance(generator, CandidateGenerator):
        raise InvalidTypeError(
            f"expected a CandidateGenerator, got {type(generator).__name__}; "
            "make one with kayak.document_proxy_candidate_generator() or kayak.open_candidate_generator(kind)"
        )
    size = non_negative_int(k, "k", minimum=1)
    executor = find_executor(backend)
    return _generate(LateQueryBatch((checked_query(query),)), checked_index(index), generator, size, executor)[0]


def search_with_plan(
    query: LateQuery,
    corpus: LateIndex | LateStore,
    plan: SearchPlan,
    *,
    where: MetadataFilterInput = None,
    doc_ids: DocIdsInput | None = None,
    backend: str = NUMPY_REFERENCE_BACKEND,
) -> SearchPlanResult:
    """Run a staged plan over an index or a store.

    With a store, a plan whose generator runs inside stores (`store_native`) brings only the candidates' vectors
    back; any other plan loads the selected slice first, and the load shows as a stage of its own.

    Args:
        query: the encoded query; needs its text where the verifier reads it.
        corpus: a `LateIndex`, or an open store.
        plan: what to run.
        where: metadata filter, stores only.
        doc_ids: restriction to these ids, stores only; select an index with `index.select`.
        backend: executor of the exact stages; nothing else is used in its place.

    Returns:
        The hits and what each stage did. A selection that matches nothing gives no hits.

    Raises:
        InvalidTypeError: a value of the wrong type.
        InvalidInputError: dimensions differ, a text is missing for the verifier, or a filter is given for an index.
        UnsupportedOperationError: the plan needs a store with a search of its own.
        UnknownKindError, BackendUnavailableError, ScoreOverflowError: see `maxsim`.
    """
    return _run(LateQueryBatch((checked_query(query),)), corpus, plan, where, doc_ids, backend)[0]


def search_batch_with_plan(
    batch: LateQueryBatch,
    corpus: LateIndex | LateStore,
    plan: SearchPlan,
    *,
    where: MetadataFilterInput = None,
    doc_ids: DocIdsInput | None = None,
    backend: str = NUMPY_REFERENCE_BACKEND,
) -> tuple[SearchPlanResult, ...]:
    """Run a staged plan for each query of a batch; the corpus is loaded once, and stage 1 may share work.

    Takes and raises what `search_with_plan` does.

    Returns:
        One result a query. Where queries share a stage, each profile carries an equal share of its time.
    """
    return _run(checked_batch(batch), corpus, plan, where, doc_ids, backend)


def _run(
    batch: LateQueryBatch,
    corpus: LateIndex | LateStore,
    plan: SearchPlan,
    where: MetadataFilterInput,
    doc_ids: DocIdsInput | None,
    backend: str,
) -> tuple[SearchPlanResult, ...]:
    checked_plan(plan)
    executor = find_executor(backend)
    if plan.stage3_verifier.requires_query_text and any(query.text is None for query in batch.queries):
        raise InvalidInputError(
            f"the {plan.stage3_verifier.kind} verifier reads the query's text, but query.text is None; use "
            "kayak.query(vectors, text=...) or query.with_text(...)"
        )
    first = _first_stage(batch, corpus, plan, where, doc_ids, executor)
    return tuple(_refined(query, stage1, plan, executor) for query, stage1 in zip(batch.queries, first, strict=True))


def _refined(query: LateQuery, stage1: _FirstStage, plan: SearchPlan, executor: Executor) -> SearchPlanResult:
    if not stage1.candidates.hits:
        return _no_hits(plan, stage1)
    window = CandidateWindow(stage1.candidates, stage1.load_window, stage1.corpus)
    stage2_k = plan.final_k if plan.stage3_verifier.is_noop else plan.candidate_k
    refined = _timed(lambda: plan.stage2_reference_operator.refine(query, window, k=stage2_k, executor=executor))
    verified = _timed(lambda: plan.stage3_verifier.verify(query, window, refined, k=plan.final_k))
    return SearchPlanResult(
        plan,
        verified.hits,
        stage1.candidates,
        window.loaded_index,
        refined.scores,
        None if plan.stage3_verifier.is_noop else verified.scores,
        refined.profile,
        verified.profile,
        stage1.load_profile,
    )


@attrs.frozen(eq=False)
class _FirstStage:
    candidates: CandidateStageResult
    load_window: Callable[[], LateIndex]
    load_profile: SearchStageProfile | None = None
    corpus: LateIndex | None = None


def _first_stage(
    batch: LateQueryBatch,
    corpus: LateIndex | LateStore,
    plan: SearchPlan,
    where: MetadataFilterInput,
    doc_ids: DocIdsInput | None,
    executor: Executor,
) -> list[_FirstStage]:
    generator = plan.candidate_generator
    if isinstance(corpus, LateIndex):
        if where is not None or doc_ids is not None:
            raise InvalidInputError(
                "where= and doc_ids= select documents of a store, but the corpus is a LateIndex; use "
                "index.select(doc_ids), or pass the store"
            )
        return _over_index(_generate(batch, corpus, generator, plan.candidate_k, executor), corpus)
    if not isinstance(corpus, LateStore):
        raise InvalidTypeError(
            f"the corpus of a plan is a LateIndex or a store, got {type(corpus).__name__}; call .pack() on documents"
        )
    texts = plan.stage3_verifier.requires_document_texts
    if generator.corpus == "store":
        return [_inside_store(query, corpus, plan, where, doc_ids, texts) for query in batch.queries]
    start = time.perf_counter()
    try:
        index = corpus.load_index(doc_ids=doc_ids, where=where, include_text=texts)
    except EmptySelectionError:
        nothing = CandidateStageResult.empty(generator, generator.kind)
        return [_FirstStage(nothing, lambda: corpus.load_index(doc_ids=()))] * batch.batch_size
    condition = parse_where(where)
    notes = () if condition is None else filter_notes(corpus.split_filter(condition)[1])
    elapsed = (time.perf_counter() - start) / batch.batch_size
    load = attrs.evolve(_load_profile(index, elapsed), notes=notes)
    return _over_index(_generate(batch, index, generator, plan.candidate_k, executor), index, load)


def _over_index(
    found: Sequence[CandidateStageResult], index: LateIndex, load_profile: SearchStageProfile | None = None
) -> list[_FirstStage]:
    return [
        _FirstStage(candidates, partial(candidates.select_index, index), load_profile, index) for candidates in found
    ]


def _inside_store(
    query: LateQuery,
    store: LateStore,
    plan: SearchPlan,
    where: MetadataFilterInput,
    doc_ids: DocIdsInput | None,
    texts: bool,
) -> _FirstStage:
    generator = plan.candidate_generator
    found = _timed(lambda: generator.generate_in_store(query, store, k=plan.candidate_k, where=where, doc_ids=doc_ids))
    return _FirstStage(found, lambda: store.load_index(doc_ids=found.candidate_doc_ids, include_text=texts))


def _load_profile(index: LateIndex, elapsed_seconds: float) -> SearchStageProfile:
    texts = sum(text is not None for text in index.doc_texts or ())
    return SearchStageProfile(
        LOAD_STAGE,
        0,
        0,
        document_count=index.document_count,
        document_text_count=texts,
        materialized_artifacts=(
            StageArtifactMaterialization(
                LATE_INTERACTION_FAMILY, index.document_count, index.total_vector_count, texts
            ),
        ),
        elapsed_seconds=elapsed_seconds,
        # A memory map is opened, not read; whichever stage scores it reads it.
        bytes_read=sum(part.byte_size for part in index.slices if not part.block.is_memory_mapped),
    )


def _no_hits(plan: SearchPlan, stage1: _FirstStage) -> SearchPlanResult:
    return SearchPlanResult(
        plan,
        (),
        stage1.candidates,
        None,
        stage1.candidates.scores,
        None,
        SearchStageProfile(plan.stage2_reference_operator.kind, 0, 0),
        SearchStageProfile(plan.stage3_verifier.kind, 0, 0),
        stage1.load_profile,
    )


def _generate(
    batch: LateQueryBatch, index: LateIndex, generator: CandidateGenerator, k: int, executor: Executor
) -> tuple[CandidateStageResult, ...]:
    start = time.perf_counter()
    found = generator.generate_batch(batch, index, k=k, executor=executor)
    elapsed = (time.perf_counter() - start) / batch.batch_size
    return tuple(attrs.evolve(each, profile=attrs.evolve(each.profile, elapsed_seconds=elapsed)) for each in found)


def _timed(stage: Callable[[], _R]) -> _R:
    start = time.perf_counter()
    result = stage()
    elapsed = time.perf_counter() - start
    return attrs.evolve(result, profile=attrs.evolve(result.profile, elapsed_seconds=elapsed))
