"""The `clause_text` verifier: its formula, and what it needs."""

from __future__ import annotations

import kayak
import numpy as np
import pytest
from kayak.builtin.clause_text import clause_text_boost

QUERY = kayak.query(np.eye(2), text="founded in 1984 in a church artistic director")


def spec_index() -> kayak.LateIndex:
    return kayak.documents(
        ["doc-context", "doc-answer"],
        [np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.8, 0.2]])],
        texts=[
            "Gugulethu township logo emblem heritage schools history",
            "Zama Dance School was founded in 1984 in a church and the longest serving employee is the artistic "
            "director.",
        ],
    ).pack()


@pytest.mark.parametrize(
    ("query", "document", "boost"),
    [
        # one clause, final: scale 1; "wing" 1 + 1 (in one clause only); final match bonus 0.5
        ("wing", "a wing", 2.5),
        # six characters or more weigh 0.5 more
        ("aileron", "an aileron", 3.0),
        # whole words only
        ("wing", "wings", 0.0),
        # two matches: 2 × (2 + 0.5) + 1; they stand apart, so no phrase
        ("wing flow", "flow past a wing", 6.0),
        # the same as a phrase: + 1.5
        ("wing flow", "the wing flow", 7.5),
        # content tokens follow one another across stop words of the query
        ("wing and flow", "the wing flow", 7.5),
        # an earlier clause has scale 0.35 and no final bonus
        ("wing. flow", "wing", 0.35 * 2.0),
        # a token of two clauses: + 0.5 instead of + 1
        ("wing? wing", "wing", 0.35 * 1.5 + 1.5 + 0.5),
        # a token of three clauses: no bonus
        ("wing: wing! wing", "wing", 2 * 0.35 * 1.0 + 1.0 + 0.5),
        # counted once a clause
        ("wing wing", "wing wing", 2.5),
        # short tokens and stop words carry nothing
        ("of the at it", "of the at it", 0.0),
        # a final clause without content is still the final one
        ("wing. is it?", "wing", 0.35 * 2.0),
        ("", "wing", 0.0),
        ("wing", "", 0.0),
        ("WING", "Wing", 2.5),
    ],
)
def test_formula(query: str, document: str, boost: float) -> None:
    assert clause_text_boost(query, document) == pytest.approx(boost)


def test_it_reorders_what_vectors_cannot_tell_apart() -> None:
    plan = kayak.exact_full_scan_clause_text_search_plan(1, candidate_k=2)
    result = kayak.search_with_plan(QUERY, spec_index(), plan)
    assert [hit.doc_id for hit in result.candidate_stage.hits] == ["doc-answer", "doc-context"]
    assert result.hits[0].doc_id == "doc-answer"
    boost = clause_text_boost(QUERY.text or "", spec_index().doc_texts[1] or "")  # type: ignore[index]
    assert result.hits[0].score == pytest.approx(result.reference_scores.values[0] + 0.2 * boost)
    assert result.stage2.output_hit_count == 2  # the whole window goes to the verifier
    profile = result.stage3_verifier
    assert (profile.stage_name, profile.input_hit_count, profile.output_hit_count) == ("clause_text", 2, 1)
    assert profile.document_text_count == 2
    assert profile.bytes_read == sum(len(text or "") for text in spec_index().doc_texts or ())
    assert profile.materialized_artifacts[0].family == "document_text"
    assert result.stage3_scores is not None
    assert set(result.stage3_scores.doc_ids) == {"doc-context", "doc-answer"}


def test_after_a_proxy_stage() -> None:
    plan = kayak.document_proxy_search_plan(
        1,
        2,
        query_vector_budget=1,
        document_vector_budget=1,
        stage3_verifier=kayak.clause_text_stage3_verifier_operator(),
    )
    result = kayak.search_with_plan(QUERY, spec_index(), plan)
    assert [artifact.family for artifact in result.stage2.materialized_artifacts] == ["late_interaction"]
    assert [artifact.family for artifact in result.stage3_verifier.materialized_artifacts] == ["document_text"]


def test_missing_texts_are_named() -> None:
    plan = kayak.exact_full_scan_clause_text_search_plan(1, candidate_k=2)
    with pytest.raises(ValueError, match=r"reads the query's text, but query\.text is None"):
        kayak.search_with_plan(QUERY.with_text(None), spec_index(), plan)
    with pytest.raises(ValueError, match="reads document texts, but the index carries none"):
        kayak.search_with_plan(QUERY, spec_index().with_texts(None), plan)
    with pytest.raises(ValueError, match="reads document texts, but 'doc-answer' has none"):
        kayak.search_with_plan(QUERY, spec_index().with_texts(["x", None]), plan)


def test_the_operator_itself_checks_the_query() -> None:
    operator = kayak.clause_text_stage3_verifier_operator()
    result = kayak.search_with_plan(QUERY, spec_index(), kayak.exact_full_scan_search_plan(2))
    window = kayak.CandidateWindow(result.candidate_stage, spec_index)
    prior = kayak.StageResult(result.reference_scores, result.hits, result.stage2)
    with pytest.raises(ValueError, match=r"query\.text is None"):
        operator.verify(QUERY.with_text(None), window, prior, k=1)
    assert operator.required_artifact_families == ("document_text",)
    assert kayak.none_stage3_verifier_operator().required_artifact_families == ()
    assert kayak.noop_topk_stage2_reference_operator().required_artifact_families == ()
    assert kayak.exact_late_interaction_stage2_reference_operator().required_artifact_families == ("late_interaction",)
