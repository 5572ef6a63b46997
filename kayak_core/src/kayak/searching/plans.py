"""Constructors of search plans and of the built-in stages that they are made of."""

from __future__ import annotations

from typing import cast

from kayak.contracts import CandidateGenerator, SearchPlan, Stage2ReferenceOperator, Stage3VerifierOperator
from kayak.plugins import open_candidate_generator, open_stage_operator


def exact_full_scan_candidate_generator() -> CandidateGenerator:
    """Return the generator that scores every document by exact MaxSim."""
    return open_candidate_generator("exact_full_scan")


def document_proxy_candidate_generator(
    *, query_vector_budget: int = 0, document_vector_budget: int = 0
) -> CandidateGenerator:
    """Return the generator that compares one mean vector a document with one mean vector of the query.

    Args:
        query_vector_budget: how many of the query's first vectors the mean takes; 0 means all.
        document_vector_budget: how many of each document's first vectors the mean takes; 0 means all.

    Raises:
        InvalidInputError: a negative budget.
        InvalidTypeError: a budget that is no integer.
    """
    return open_candidate_generator(
        "document_proxy",
        query_vector_budget=query_vector_budget,
        document_vector_budget=document_vector_budget,
    )


def store_native_candidate_generator() -> CandidateGenerator:
    """Return the generator that lets a store choose the candidates with its own search."""
    return open_candidate_generator("store_native")


def noop_topk_stage2_reference_operator() -> Stage2ReferenceOperator:
    """Return the operator that passes candidates on with the scores of stage 1."""
    return cast("Stage2ReferenceOperator", open_stage_operator("noop_topk"))


def exact_late_interaction_stage2_reference_operator() -> Stage2ReferenceOperator:
    """Return the operator that rescores candidates by exact MaxSim."""
    return cast("Stage2ReferenceOperator", open_stage_operator("exact_late_interaction"))


def none_stage3_verifier_operator() -> Stage3VerifierOperator:
    """Return the verifier that passes hits on unchanged."""
    return cast("Stage3VerifierOperator", open_stage_operator("none"))


def clause_text_stage3_verifier_operator() -> Stage3VerifierOperator:
    """Return the verifier that adds evidence from the texts, clause by clause; see `kayak.help("clause_text")`."""
    return cast("Stage3VerifierOperator", open_stage_operator("clause_text"))


def exact_full_scan_search_plan(
    final_k: int,
    *,
    candidate_k: int | None = None,
    stage2_reference_operator: Stage2ReferenceOperator | None = None,
    stage3_verifier: Stage3VerifierOperator | None = None,
) -> SearchPlan:
    """Describe the exact baseline: every document scored by exact MaxSim.

    Args:
        final_k: hits to return, ≥ 1.
        candidate_k: size of the window that later stages see; `final_k` unless given.
        stage2_reference_operator: `noop_topk` unless given, as stage 1 is exact already.
        stage3_verifier: none unless given.

    Raises:
        InvalidInputError: `final_k` < 1 or `candidate_k` < `final_k`.
        InvalidTypeError: a size that is no integer, or a stage of the wrong type.
    """
    return SearchPlan(
        exact_full_scan_candidate_generator(),
        stage2_reference_operator or noop_topk_stage2_reference_operator(),
        stage3_verifier or none_stage3_verifier_operator(),
        final_k,
        final_k if candidate_k is None else candidate_k,
    )


def exact_full_scan_clause_text_search_plan(final_k: int, *, candidate_k: int | None = None) -> SearchPlan:
    """Describe the exact baseline followed by the `clause_text` verifier; see `exact_full_scan_search_plan`."""
    return exact_full_scan_search_plan(
        final_k, candidate_k=candidate_k, stage3_verifier=clause_text_stage3_verifier_operator()
    )


def document_proxy_search_plan(
    final_k: int,
    candidate_k: int,
    *,
    query_vector_budget: int = 0,
    document_vector_budget: int = 0,
    stage2_reference_operator: Stage2ReferenceOperator | None = None,
    stage3_verifier: Stage3VerifierOperator | None = None,
) -> SearchPlan:
    """Describe a cheap first stage over mean vectors, followed by exact MaxSim on the candidates.

    Args:
        final_k: hits to return, ≥ 1.
        candidate_k: size of the candidate window, ≥ `final_k`: the knob of recall against cost.
        query_vector_budget: how many of the query's first vectors its mean takes; 0 means all.
        document_vector_budget: how many of each document's first vectors its mean takes; 0 means all.
        stage2_reference_operator: `exact_late_interaction` unless given.
        stage3_verifier: none unless given.

    Raises:
        InvalidInputError: `final_k` < 1, `candidate_k` < `final_k`, or a negative budget.
        InvalidTypeError: a size or budget that is no integer, or a stage of the wrong type.
    """
    return SearchPlan(
        document_proxy_candidate_generator(
            query_vector_budget=query_vector_budget, document_vector_budget=document_vector_budget
        ),
        stage2_reference_operator or exact_late_interaction_stage2_reference_operator(),
        stage3_verifier or none_stage3_verifier_operator(),
        final_k,
        candidate_k,
    )


def store_native_search_plan(
    final_k: int, candidate_k: int, *, stage3_verifier: Stage3VerifierOperator | None = None
) -> SearchPlan:
    """Describe a search whose first stage runs inside the store; only the candidates' vectors come back.

    Stage 2 rescores them by exact MaxSim. The corpus passed to `search_with_plan` must be a store that declares
    `native_candidates`.

    Raises:
        InvalidInputError: `final_k` < 1 or `candidate_k` < `final_k`.
        InvalidTypeError: a size that is no integer, or a verifier of the wrong type.
    """
    return SearchPlan(
        store_native_candidate_generator(),
        exact_late_interaction_stage2_reference_operator(),
        stage3_verifier or none_stage3_verifier_operator(),
        final_k,
        candidate_k,
    )
