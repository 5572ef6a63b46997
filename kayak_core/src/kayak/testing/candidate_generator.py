"""`CandidateGeneratorConformance`: what every candidate generator promises."""

from __future__ import annotations

import copy
from functools import partial

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kayak
from kayak.builtin.memory_store import MemoryLateStore
from kayak.builtin.numpy_executor import NumpyReferenceExecutor
from kayak.builtin.operators import ExactLateInteraction, NoVerifier
from kayak.contracts import CandidateGenerator, CandidateStageResult, LateStore, SearchPlan
from kayak.errors import InvalidInputError, UnsupportedOperationError
from kayak.testing.oracles import as_blocks, assert_exact, assert_ranking, matrices_of, outcome, ranked
from kayak.testing.suite import ConformanceSuite
from kayak.testing.threads import run_together
from kayak.values import LateIndex, LateQuery, documents, query

DIMENSION = 16


class CandidateGeneratorConformance(ConformanceSuite):
    """What every candidate generator promises. Subclass it and give the fixture `generator`.

    A generator with `corpus = "store"` is tested inside a `MemoryLateStore`.
    """

    def test_window_size(self, generator: CandidateGenerator) -> None:
        """`k` candidates come back, or all documents where there are fewer."""

        @self.settings()
        @given(st.integers(1, 30), st.integers(1, 40))
        def check(count: int, k: int) -> None:
            found = _candidates(generator, _index(count), k)
            ids = found.candidate_doc_ids
            assert len(ids) == min(k, count)
            assert len(set(ids)) == len(ids), f"a candidate comes twice: {ids}"
            assert set(ids) <= {f"doc-{n}" for n in range(count)}

        check()

    def test_best_first(self, generator: CandidateGenerator) -> None:
        """Candidates are the best by stage-1 score, best first, each with its score in `scores`."""
        index = _index(25)
        found = _candidates(generator, index, 9)
        assert_ranking(found.hits, found.scores, size=9)
        if generator.corpus == "index":
            assert found.scores.doc_ids == index.doc_ids, "over an index, every document has a stage-1 score"

    def test_smaller_windows_are_prefixes(self, generator: CandidateGenerator) -> None:
        """The window of a smaller `k` is the beginning of the window of a greater one."""
        index = _index(25)
        widest = _candidates(generator, index, 25).hits
        for k in (1, 2, 12, 24):
            assert _candidates(generator, index, k).hits == widest[:k]

    def test_ties_keep_index_order(self, generator: CandidateGenerator) -> None:
        """Equal documents come in index order, also where the window cuts through them."""
        matrices = matrices_of(_index(4))
        index = _from_matrices([matrices[n % 4] for n in range(20)])
        everything = _candidates(generator, index, 20)
        for kind in range(4):
            twins = [hit for hit in everything.hits if int(hit.doc_id.removeprefix("doc-")) % 4 == kind]
            assert len({hit.score for hit in twins}) == 1, "equal documents have different scores"
        expected = ranked(index.doc_ids, _in_index_order(everything, index))
        assert list(everything.candidate_doc_ids) == expected
        for k in (1, 3, 7):
            assert list(_candidates(generator, index, k).candidate_doc_ids) == expected[:k]

    def test_profile(self, generator: CandidateGenerator) -> None:
        """The result names its generator, and its profile counts hits and what was looked at."""
        found = _candidates(generator, _index(12), 5)
        assert found.generator == generator
        profile = found.profile
        assert profile.stage_name == generator.kind
        assert (profile.input_hit_count, profile.output_hit_count) == (0, 5)
        assert profile.document_count == 12
        assert min(profile.query_vector_count, profile.document_vector_count, profile.bytes_read) >= 0
        assert (profile.preparation is not None) or profile.preparation_seconds == 0.0

    def test_prepared_once(self, generator: CandidateGenerator) -> None:
        """What depends on the index alone is built once, and the profile shows when."""
        if generator.corpus == "store":
            pytest.skip("the generator runs inside a store (corpus='store')")
        index = _index(12)
        first = _candidates(generator, index, 5)
        second = _candidates(generator, index, 5)
        other = generator.generate(_query(9), index, k=5, executor=NumpyReferenceExecutor())
        for later in (second, other):
            assert later.profile.preparation_seconds == 0.0, "a second search prepared the index again"
            assert later.profile.preparation == first.profile.preparation
        if first.profile.preparation is not None:
            assert first.profile.preparation_seconds > 0.0, "the first search does not show what preparing took"

    def test_runs_are_identical(self, generator: CandidateGenerator) -> None:
        """Equal calls give equal candidates and scores, also over another index of the same documents."""
        index = _index(20)
        expected = outcome(_candidates(generator, index, 8))
        for again in (index, index, _index(20)):
            assert outcome(_candidates(generator, again, 8)) == expected

    def test_threads(self, generator: CandidateGenerator) -> None:
        """Several threads may use one generator over one fresh index at once."""
        expected = outcome(_candidates(generator, _index(20), 8))
        index = _index(20)
        found = run_together([partial(_candidates, generator, index, 8)] * 4)
        assert [outcome(result) for result in found] == [expected] * 4

    def test_blocks(self, generator: CandidateGenerator) -> None:
        """An index of several blocks, read by position, gives what the packed one gives."""
        if generator.corpus == "store":
            pytest.skip("the generator runs inside a store (corpus='store')")
        packed = _index(15)
        plain, spread = (_candidates(generator, index, 15) for index in (packed, as_blocks(packed)))
        assert spread.candidate_doc_ids == plain.candidate_doc_ids
        np.testing.assert_allclose(spread.scores.values, plain.scores.values, rtol=1e-5, atol=1e-5)
        some = packed.select(["doc-9", "doc-2", "doc-4"])
        assert set(_candidates(generator, some, 9).candidate_doc_ids) == set(some.doc_ids)

    def test_single_vectors(self, generator: CandidateGenerator) -> None:
        """One document of one vector, and a query of one vector, are enough."""
        index = _from_matrices([np.ones((1, DIMENSION), dtype=np.float32)])
        found = _candidates(generator, index, 3, query_=query(np.ones((1, DIMENSION))))
        assert found.candidate_doc_ids == ("doc-0",)

    def test_exact_scores_are_exact(self, generator: CandidateGenerator) -> None:
        """With `score_kind = "exact_score"`, stage-1 scores are MaxSim."""
        if generator.score_kind != "exact_score":
            pytest.skip("the generator does not declare score_kind='exact_score'")
        index = _index(18)
        found = _candidates(generator, index, 18)
        chosen = index.select(found.scores.doc_ids)
        assert_exact(found.scores.values, _query().as_vector_matrix(), matrices_of(chosen))
        assert found.profile.executor is not None

    def test_is_a_value(self, generator: CandidateGenerator) -> None:
        """A generator is immutable and hashable, and equal to its deep copies."""
        twin = copy.deepcopy(generator)
        assert twin == generator
        assert hash(twin) == hash(generator)
        assert generator != object()
        with pytest.raises((AttributeError, attrs.exceptions.FrozenInstanceError)):
            generator.some_attribute = 1  # type: ignore[attr-defined]  # wrong on purpose
        index = _index(10)
        assert outcome(_candidates(twin, index, 4)) == outcome(_candidates(generator, index, 4))

    def test_describes_itself(self, generator: CandidateGenerator) -> None:
        """Kind, family, score kind and corpus are declared in known words."""
        assert isinstance(generator, CandidateGenerator)
        assert generator.kind
        assert generator.family
        assert generator.score_kind
        assert generator.corpus in ("index", "store")

    def test_dimensions_must_match(self, generator: CandidateGenerator) -> None:
        """A query of another dimension is refused."""
        with pytest.raises(InvalidInputError):
            _candidates(generator, _index(3), 2, query_=query(np.ones((2, DIMENSION + 1))))

    def test_runs_over_its_corpus_only(self, generator: CandidateGenerator) -> None:
        """A generator for an index refuses a store, and one for stores an index."""
        executor = NumpyReferenceExecutor()
        with _filled(_index(3)) as store:
            if generator.corpus == "index":
                with pytest.raises(UnsupportedOperationError):
                    generator.generate_in_store(_query(), store, k=2)
            else:
                with pytest.raises(UnsupportedOperationError):
                    generator.generate(_query(), store.load_index(), k=2, executor=executor)

    def test_selects_inside_the_store(self, generator: CandidateGenerator) -> None:
        """Inside a store, `where` and `doc_ids` restrict the search itself."""
        if generator.corpus == "index":
            pytest.skip("the generator runs over an index (corpus='index')")
        with _filled(_index(10)) as store:
            ids = ["doc-1", "doc-8", "doc-4", "unknown"]
            found = generator.generate_in_store(_query(), store, k=9, doc_ids=ids)
            assert set(found.candidate_doc_ids) == {"doc-1", "doc-8", "doc-4"}
            found = generator.generate_in_store(_query(), store, k=9, where={"number": {"$lt": 4}})
            assert set(found.candidate_doc_ids) == {f"doc-{n}" for n in range(4)}
            assert generator.generate_in_store(_query(), store, k=9, where={"number": 99}).hits == ()

    def test_serves_in_a_plan(self, generator: CandidateGenerator) -> None:
        """In a plan, its window is rescored exactly; with a window of everything the exact ranking comes out."""
        index = _index(15)
        plan = SearchPlan(generator, ExactLateInteraction(), NoVerifier(), 5, 15)
        with _filled(index) as store:
            corpus: LateIndex | LateStore = store if generator.corpus == "store" else index
            result = kayak.search_with_plan(_query(), corpus, plan)
        exact = kayak.search(_query(), index, k=5)
        assert [hit.doc_id for hit in result.hits] == [hit.doc_id for hit in exact]
        np.testing.assert_allclose([hit.score for hit in result.hits], [hit.score for hit in exact], rtol=1e-5)
        assert result.candidate_stage.profile.elapsed_seconds > 0.0


def _query(seed: int = 1) -> LateQuery:
    return query(np.random.default_rng(seed).standard_normal((5, DIMENSION)), text="wing flutter")


def _index(count: int) -> LateIndex:
    generator = np.random.default_rng(2)
    return _from_matrices([generator.standard_normal((1 + n * 3 % 7, DIMENSION)) for n in range(count)])


def _from_matrices(matrices: list[np.ndarray]) -> LateIndex:
    return documents([f"doc-{n}" for n in range(len(matrices))], matrices).pack()


def _filled(index: LateIndex) -> MemoryLateStore:
    store = MemoryLateStore()
    store.upsert(
        documents(index.doc_ids, matrices_of(index)), metadata=[{"number": n} for n in range(index.document_count)]
    )
    return store


def _candidates(
    generator: CandidateGenerator, index: LateIndex, k: int, *, query_: LateQuery | None = None
) -> CandidateStageResult:
    asked = query_ or _query()
    if generator.corpus == "index":
        return generator.generate(asked, index, k=k, executor=NumpyReferenceExecutor())
    with _filled(index) as store:
        return generator.generate_in_store(asked, store, k=k)


def _in_index_order(found: CandidateStageResult, index: LateIndex) -> np.ndarray:
    scores = {hit.doc_id: hit.score for hit in found.hits}
    return np.array([scores[doc_id] for doc_id in index.doc_ids])
