"""Scoring, search and the running of staged plans."""

from kayak.searching.plans import (
    clause_text_stage3_verifier_operator,
    document_proxy_candidate_generator,
    document_proxy_search_plan,
    exact_full_scan_candidate_generator,
    exact_full_scan_clause_text_search_plan,
    exact_full_scan_search_plan,
    exact_late_interaction_stage2_reference_operator,
    none_stage3_verifier_operator,
    noop_topk_stage2_reference_operator,
    store_native_candidate_generator,
    store_native_search_plan,
)
from kayak.searching.run import generate_candidates, search_batch_with_plan, search_with_plan
from kayak.searching.scoring import maxsim, maxsim_batch, search, search_batch

__all__ = [
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
]
