"""`StageOperatorConformance`: what every operator of stages 2 and 3 promises."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kayak
from kayak.builtin.generators import ExactFullScan
from kayak.builtin.numpy_executor import NumpyReferenceExecutor
from kayak.builtin.operators import NoopTopk, NoVerifier
from kayak.contracts import (
    CandidateStageResult,
    CandidateWindow,
    SearchPlan,
    SearchStageProfile,
    Stage2ReferenceOperator,
    Stage3VerifierOperator,
    StageResult,
)
from kayak.errors import InvalidInputError
from kayak.testing.oracles import assert_exact, assert_ranking, matrices_of, outcome
from kayak.testing.suite import ConformanceSuite
from kayak.testing.threads import run_together
from kayak.values import LateIndex, LateQuery, LateScores, documents, query

DIMENSION = 16
QUERY_TEXT = "What limits a wing? The flutter speed of thin wings."
WORDS = ("wing", "flutter", "speed", "heat", "shock", "boundary layer", "thin", "engine")
Operator = Stage2ReferenceOperator | Stage3VerifierOperator


class StageOperatorConformance(ConformanceSuite):
    """What every operator promises. Subclass it and give the fixture `operator`, for stage 2 or for stage 3."""

    def test_keeps_the_best_of_the_window(self, operator: Operator) -> None:
        """`k` hits come out, or the whole window where it is smaller: distinct, and all of the window."""

        @self.settings()
        @given(st.integers(1, 20), st.integers(1, 25))
        def check(count: int, k: int) -> None:
            window = _window(_index(count))
            ids = [hit.doc_id for hit in _run(operator, window, k).hits]
            assert len(ids) == min(k, count)
            assert len(set(ids)) == len(ids), f"a hit comes twice: {ids}"
            assert set(ids) <= set(window.candidates.candidate_doc_ids)

        check()

    def test_best_first(self, operator: Operator) -> None:
        """Every document of the window has a score, and hits are the best of them, best first."""
        window = _window(_index(14))
        result = _run(operator, window, 6)
        assert result.scores.doc_ids == window.candidates.candidate_doc_ids, "scores are not in window order"
        assert_ranking(result.hits, result.scores, size=6)

    def test_ties_keep_window_order(self, operator: Operator) -> None:
        """Documents that nothing tells apart stay in the order in which they came in."""
        matrix = matrices_of(_index(1))[0]
        index = documents([f"doc-{n}" for n in range(8)], [matrix] * 8, texts=["thin wing"] * 8).pack()
        window = _window(index, order=[5, 2, 7, 0, 1, 6, 3, 4], scores=[1.0] * 8)
        for k in (1, 5, 8):
            expected = window.candidates.candidate_doc_ids[:k]
            assert tuple(hit.doc_id for hit in _run(operator, window, k).hits) == expected

    def test_leaves_the_window_alone(self, operator: Operator) -> None:
        """Candidates, vectors, texts and earlier scores are as before."""
        window = _window(_index(9))
        prior = _prior(window)
        seen = (window.index.as_packed_token_matrix().tobytes(), window.index.doc_texts)
        before = outcome(window.candidates), outcome(prior), window.candidates.profile
        _run(operator, window, 4, prior=prior)
        assert before == (outcome(window.candidates), outcome(prior), window.candidates.profile)
        assert seen == (window.index.as_packed_token_matrix().tobytes(), window.index.doc_texts)

    def test_profile(self, operator: Operator) -> None:
        """The profile names the operator and counts hits, documents, vectors and texts that it read."""
        window = _window(_index(9))
        profile = _run(operator, window, 4).profile
        assert profile.stage_name == operator.kind
        assert (profile.input_hit_count, profile.output_hit_count) == (9, 4)
        families = {artifact.family for artifact in profile.materialized_artifacts}
        assert families == set(operator.required_artifact_families)
        reads_texts = isinstance(operator, Stage3VerifierOperator) and operator.requires_document_texts
        assert profile.document_text_count == (9 if reads_texts else 0)
        if isinstance(operator, Stage2ReferenceOperator) and operator.executes_reference_scoring:
            assert profile.executor == NumpyReferenceExecutor().name
            assert profile.document_vector_count == window.index.total_vector_count
            assert profile.query_vector_count == _query().vector_count

    def test_reads_only_what_it_declares(self, operator: Operator) -> None:
        """An operator without required artifacts does not bring the window into memory."""
        window = _window(_index(9))
        _run(operator, window, 4)
        assert (window.loaded_index is not None) == bool(operator.required_artifact_families)

    def test_passes_through_if_declared(self, operator: Operator) -> None:
        """One that declares to do nothing keeps hits and scores; one that declares exact scores computes MaxSim."""
        window = _window(_index(12), order=list(range(11, -1, -1)), scores=[float(-n) for n in range(12)])
        prior = _prior(window)
        result = _run(operator, window, 5, prior=prior)
        if isinstance(operator, Stage3VerifierOperator):
            passes = operator.is_noop
        else:
            passes = not operator.executes_reference_scoring
        if passes:
            assert result.hits == window.candidates.hits[:5]
            assert result.scores.values.tolist() == [hit.score for hit in window.candidates.hits]
        elif isinstance(operator, Stage2ReferenceOperator) and operator.score_kind == "exact_score":
            assert_exact(result.scores.values, _query().as_vector_matrix(), matrices_of(window.index))

    def test_missing_texts(self, operator: Operator) -> None:
        """An operator that reads texts says which one is missing instead of guessing."""
        if isinstance(operator, Stage2ReferenceOperator) or not (
            operator.requires_query_text or operator.requires_document_texts
        ):
            pytest.skip("the operator declares that it reads no texts")
        if operator.requires_query_text:
            with pytest.raises(InvalidInputError, match="text"):
                _run(operator, _window(_index(3)), 2, query_=_query().with_text(None))
        if operator.requires_document_texts:
            with pytest.raises(InvalidInputError, match="text"):
                _run(operator, _window(_index(3).with_texts(None)), 2)
            with pytest.raises(InvalidInputError, match="doc-1"):
                _run(operator, _window(_index(3).with_texts(["a", None, "b"])), 2)

    def test_runs_are_identical(self, operator: Operator) -> None:
        """Equal calls give equal hits and scores, in several threads too."""
        expected = outcome(_run(operator, _window(_index(11)), 6))
        assert outcome(_run(operator, _window(_index(11)), 6)) == expected
        found = run_together([lambda: _run(operator, _window(_index(11)), 6)] * 4)
        assert [outcome(result) for result in found] == [expected] * 4

    def test_is_a_value(self, operator: Operator) -> None:
        """An operator is immutable and hashable, and equal to its deep copies."""
        twin = copy.deepcopy(operator)
        assert twin == operator
        assert hash(twin) == hash(operator)
        assert operator != object()
        with pytest.raises(AttributeError):
            operator.some_attribute = 1  # type: ignore[union-attr]  # wrong on purpose

    def test_describes_itself(self, operator: Operator) -> None:
        """Kind and family are declared; an operator that passes hits on requires nothing."""
        assert isinstance(operator, (Stage2ReferenceOperator, Stage3VerifierOperator))
        assert operator.kind
        assert operator.family
        if isinstance(operator, Stage2ReferenceOperator):
            assert operator.score_kind
        if isinstance(operator, Stage3VerifierOperator) and operator.is_noop:
            assert operator.required_artifact_families == ()

    def test_serves_in_a_plan(self, operator: Operator) -> None:
        """In a plan it gets the window that stage 1 found, and the plan returns its hits."""
        index = _index(10)
        if isinstance(operator, Stage2ReferenceOperator):
            plan = SearchPlan(ExactFullScan(), operator, NoVerifier(), 3, 7)
        else:
            plan = SearchPlan(ExactFullScan(), NoopTopk(), operator, 3, 7)
        result = kayak.search_with_plan(_query(), index, plan)
        assert len(result.hits) == 3
        assert {hit.doc_id for hit in result.hits} <= set(result.candidate_stage.candidate_doc_ids)
        stage = result.stage2 if isinstance(operator, Stage2ReferenceOperator) else result.stage3_verifier
        assert stage.stage_name == operator.kind
        is_noop = isinstance(operator, Stage3VerifierOperator) and operator.is_noop
        assert stage.input_hit_count == (3 if is_noop else 7)
        assert stage.elapsed_seconds > 0.0


def _query() -> LateQuery:
    return query(np.random.default_rng(3).standard_normal((4, DIMENSION)), text=QUERY_TEXT)


def _index(count: int) -> LateIndex:
    generator = np.random.default_rng(4)
    matrices = [generator.standard_normal((1 + n % 4, DIMENSION)) for n in range(count)]
    texts = [" ".join(WORDS[(n * step) % len(WORDS)] for step in (1, 3, 5)) for n in range(count)]
    return documents([f"doc-{n}" for n in range(count)], matrices, texts=texts).pack()


def _window(index: LateIndex, *, order: list[int] | None = None, scores: list[float] | None = None) -> CandidateWindow:
    """A window over an index: by exact score, or in a given order with given scores."""
    if order is None or scores is None:
        exact = ExactFullScan().generate(_query(), index, k=index.document_count, executor=NumpyReferenceExecutor())
        return CandidateWindow(exact, lambda: exact.select_index(index), index)
    ids = tuple(index.doc_ids[number] for number in order)
    stage1 = LateScores.from_values("stage1", ids, np.array(scores, dtype=np.float32))
    profile = SearchStageProfile("stage1", 0, len(ids), document_count=len(ids))
    found = CandidateStageResult(ExactFullScan(), stage1, stage1.topk(len(ids)), profile)
    return CandidateWindow(found, lambda: index.select(ids), index)


def _prior(window: CandidateWindow) -> StageResult:
    return NoopTopk().refine(_query(), window, k=len(window.candidates.hits), executor=NumpyReferenceExecutor())


def _run(
    operator: Operator,
    window: CandidateWindow,
    k: int,
    *,
    query_: LateQuery | None = None,
    prior: StageResult | None = None,
) -> StageResult:
    asked = query_ or _query()
    if isinstance(operator, Stage2ReferenceOperator):
        return operator.refine(asked, window, k=k, executor=NumpyReferenceExecutor())
    return operator.verify(asked, window, prior or _prior(window), k=k)
