"""Scoring, ranking and staged plans over indexes and stores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
import kayak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kayak.builtin.operators import ExactLateInteraction
from kayak.testing.strategies import token_matrices


@pytest.fixture
def corpus() -> kayak.LateDocuments:
    rng = np.random.default_rng(7)
    matrices = [rng.standard_normal((int(count), 8)) for count in rng.integers(1, 12, 60)]
    return kayak.documents([f"d{i}" for i in range(60)], matrices, texts=[f"text {i}" for i in range(60)])


@pytest.fixture
def index(corpus: kayak.LateDocuments) -> kayak.LateIndex:
    return corpus.pack()


@pytest.fixture
def query() -> kayak.LateQuery:
    return kayak.query(np.random.default_rng(8).standard_normal((5, 8)), text="text")


@pytest.fixture
def store(corpus: kayak.LateDocuments) -> kayak.MemoryLateStore:
    store = kayak.MemoryLateStore()
    store.upsert(corpus, metadata=[{"even": i % 2 == 0} for i in range(60)])
    return store


def oracle(query: np.ndarray, matrix: np.ndarray) -> float:
    return float((query.astype(np.float64) @ matrix.astype(np.float64).T).max(axis=1).sum())


class TestMaxSim:
    @given(st.data())
    def test_equals_the_float64_oracle(self, data: st.DataObject) -> None:
        dim = data.draw(st.integers(1, 40))
        queries = data.draw(st.lists(token_matrices(dim=dim, magnitude=100.0), min_size=1, max_size=4))
        matrices = data.draw(st.lists(token_matrices(dim=dim, magnitude=100.0), min_size=1, max_size=6))
        index = kayak.documents([str(i) for i in range(len(matrices))], matrices).pack()
        results = kayak.maxsim_batch(kayak.query_batch(queries), index)
        for matrix_of_query, scores in zip(queries, results, strict=True):
            for matrix, value in zip(matrices, scores.values.tolist(), strict=True):
                magnitude = (np.abs(matrix_of_query).astype(np.float64) @ np.abs(matrix).T.astype(np.float64)).max(
                    axis=1
                )
                assert abs(value - oracle(matrix_of_query, matrix)) <= 1e-5 * magnitude.sum() + 1e-37

    def test_batch_equals_single_queries(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        other = kayak.query(np.ones((1, 8)))
        batch = kayak.query_batch([query, other])
        assert [s.values.tolist() for s in kayak.maxsim_batch(batch, index)] == [
            kayak.maxsim(query, index).values.tolist(),
            kayak.maxsim(other, index).values.tolist(),
        ]
        assert kayak.search_batch(batch, index, k=3) == (
            kayak.search(query, index, k=3),
            kayak.search(other, index, k=3),
        )
        assert batch.search(index, k=3) == kayak.search_batch(batch, index, k=3)
        assert batch.maxsim(index)[1].values.tolist() == kayak.maxsim(other, index).values.tolist()

    def test_methods_forward(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        assert index.maxsim(query).values.tolist() == kayak.maxsim(query, index).values.tolist()
        assert index.search(query, k=2) == kayak.search(query, index, k=2)
        plan = kayak.document_proxy_search_plan(2, 5)
        assert index.search_with_plan(query, plan=plan).hits == kayak.search_with_plan(query, index, plan).hits
        generator = kayak.document_proxy_candidate_generator()
        assert (
            index.generate_candidates(query, generator, k=5).hits
            == kayak.generate_candidates(query, index, generator, k=5).hits
        )

    def test_scores_say_who_computed_them(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        scores = kayak.maxsim(query, index, backend=kayak.NUMPY_REFERENCE_BACKEND)
        assert scores.backend == "numpy_reference"
        assert scores.doc_ids == index.doc_ids
        np.testing.assert_allclose(scores.normalized().values, scores.values / 5)

    def test_layouts_do_not_change_scores(self) -> None:
        rng = np.random.default_rng(3)
        query = kayak.query(rng.standard_normal((3, 128)))
        index = kayak.documents(["a", "b"], rng.standard_normal((2, 4, 128))).pack()
        flat = kayak.maxsim(query.to_layout("flat_dim128"), index.to_layout("hybrid_flat_dim128"))
        assert flat.values.tolist() == kayak.maxsim(query, index).values.tolist()

    def test_ties_keep_index_order(self) -> None:
        index = kayak.documents(["z", "a", "m"], [np.eye(2)] * 3).pack()
        assert [hit.doc_id for hit in kayak.search(kayak.query(np.eye(2)), index, k=2)] == ["z", "a"]

    def test_k_beyond_the_index_and_zero(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        assert len(kayak.search(query, index, k=1000)) == 60
        assert kayak.search(query, index, k=0) == ()

    def test_refusals(self, corpus: kayak.LateDocuments, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        with pytest.raises(ValueError, match="the query has dimension 2, but the index has 8"):
            kayak.maxsim(kayak.query(np.eye(2)), index)
        with pytest.raises(TypeError, match=r"expected a LateQuery, got ndarray; build one with kayak\.query"):
            kayak.maxsim(np.eye(8), index)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"expected a LateIndex, got LateDocuments; call \.pack\(\) on it"):
            kayak.maxsim(query, corpus)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"a store gives one with load_index\(\)"):
            kayak.maxsim(query, 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected a LateQueryBatch, got list"):
            kayak.maxsim_batch([query], index)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="k must be ≥ 0, got -1"):
            kayak.search(query, index, k=-1)
        with pytest.raises(kayak.UnknownKindError, match=r"unknown backend kind 'cuda'; available: .*numpy"):
            kayak.maxsim(query, index, backend="cuda")

    def test_a_missing_backend_says_what_to_install(self) -> None:
        # In a process without plugins, as kayak-mojo may be installed here.
        code = (
            "import kayak\n"
            "index = kayak.documents(['a'], [[[1.0]]]).pack()\n"
            "try:\n    kayak.maxsim(kayak.query([[1.0]]), index, backend=kayak.MOJO_EXACT_CPU_BACKEND)\n"
            "except kayak.UnknownKindError as error:\n    print(error)\n"
            "print(kayak.backend_info(kayak.MOJO_EXACT_CPU_BACKEND).availability_reason)\n"
        )
        environment = os.environ | {"KAYAK_PLUGINS": "", "PYTHONPATH": str(Path(kayak.__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        refused, described = done.stdout.splitlines()
        assert "pip install kayak-mojo" in refused
        assert "pip install kayak-mojo" in described

    def test_overflow_is_an_error_not_a_ranking(self) -> None:
        huge = np.full((1, 4), 3e38)
        index = kayak.documents(["ok", "huge"], [np.ones((1, 4)), huge]).pack()
        with pytest.raises(kayak.ScoreOverflowError, match="score of document 'huge' for query 0 leaves the range"):
            kayak.maxsim(kayak.query(np.full((1, 4), 2.0)), index)

    def test_a_misbehaving_executor_is_named(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        class Short:
            name = "short"

            def backend_info(self) -> kayak.BackendInfo:
                return kayak.BackendInfo("short", available=True)

            def maxsim(self, *arguments: object) -> np.ndarray:
                return np.zeros((1, 3), dtype=np.float32)

        with pytest.raises(kayak.PluginError, match=r"executor 'short' returned scores of shape \(1, 3\)"):
            kayak.score_index(Short(), kayak.query_batch([query]), index)


class TestExactPlan:
    def test_stages_and_profiles(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        plan = kayak.exact_full_scan_search_plan(final_k=3, candidate_k=10)
        result = kayak.search_with_plan(query, index, plan)
        assert result.plan is plan
        assert result.hits == kayak.search(query, index, k=3)
        assert result.candidate_stage.hits == kayak.search(query, index, k=10)
        assert result.candidate_index is None
        assert result.load_profile is None
        assert result.stage3_scores is None
        profile = result.candidate_stage.profile
        assert (profile.stage_name, profile.input_hit_count, profile.output_hit_count) == ("exact_full_scan", 0, 10)
        assert (profile.query_vector_count, profile.document_count) == (5, 60)
        assert profile.document_vector_count == index.total_vector_count
        assert profile.bytes_read == index.total_vector_count * 8 * 4
        assert (profile.executor, profile.preparation) == ("numpy_reference", None)
        assert profile.elapsed_seconds > 0
        assert result.stage2 is result.stage2_reference
        assert (result.stage2.stage_name, result.stage2.input_hit_count) == ("noop_topk", 10)
        assert (result.stage2.output_hit_count, result.stage2.document_vector_count) == (3, 0)
        assert (result.stage3_verifier.stage_name, result.stage3_verifier.output_hit_count) == ("none", 3)
        assert [p.stage_name for p in result.profiles] == ["exact_full_scan", "noop_topk", "none"]
        assert result.reference_scores.doc_ids == result.candidate_stage.candidate_doc_ids

    def test_exact_stage_two_over_exact_stage_one(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        operator = kayak.exact_late_interaction_stage2_reference_operator()
        plan = kayak.exact_full_scan_search_plan(3, candidate_k=9, stage2_reference_operator=operator)
        result = kayak.search_with_plan(query, index, plan)
        assert result.hits == kayak.search(query, index, k=3)
        assert result.stage2.document_count == 9

    def test_results_name_the_kind_of_their_reference_scores(
        self, index: kayak.LateIndex, query: kayak.LateQuery
    ) -> None:
        exact = kayak.exact_late_interaction_stage2_reference_operator()
        noop, none = kayak.noop_topk_stage2_reference_operator(), kayak.none_stage3_verifier_operator()
        proxy = kayak.document_proxy_candidate_generator()

        @attrs.frozen
        class About(ExactLateInteraction):
            score_kind = "about_score"

        for operator, expected in ((exact, "exact_score"), (noop, "proxy_score"), (About(), "about_score")):
            plan = kayak.SearchPlan(proxy, operator, none, 2, 5)
            assert kayak.search_with_plan(query, index, plan).reference_score_kind == expected
        assert kayak.search_with_plan(query, index, kayak.exact_full_scan_search_plan(2)).reference_score_kind == (
            "exact_score"
        )

    def test_stage_two_sees_the_index_of_stage_one(
        self, index: kayak.LateIndex, query: kayak.LateQuery, store: kayak.MemoryLateStore
    ) -> None:
        seen: list[kayak.LateIndex | None] = []

        @attrs.frozen
        class Looks(ExactLateInteraction):
            def refine(
                self, query: kayak.LateQuery, window: kayak.CandidateWindow, *, k: int, executor: kayak.Executor
            ) -> kayak.StageResult:
                seen.append(window.corpus)
                return super().refine(query, window, k=k, executor=executor)

        none = kayak.none_stage3_verifier_operator()
        plan = kayak.SearchPlan(kayak.document_proxy_candidate_generator(), Looks(), none, 2, 5)
        kayak.search_with_plan(query, index, plan)
        assert seen.pop() is index
        kayak.search_with_plan(query, store, plan, doc_ids=store.load_index().doc_ids[:9])
        loaded = seen.pop()
        assert loaded is not None
        assert loaded.document_count == 9
        inside = kayak.SearchPlan(kayak.store_native_candidate_generator(), Looks(), none, 2, 5)
        kayak.search_with_plan(query, store, inside)
        assert seen == [None]

    def test_semantics(self) -> None:
        semantics = kayak.exact_late_interaction_reference_scoring_semantics()
        assert kayak.exact_full_scan_search_plan(1).reference_scoring_semantics == semantics
        assert (semantics.kind, semantics.family) == ("exact_late_interaction", "late_interaction")
        assert (semantics.score_kind, semantics.required_artifact_families) == ("exact_score", ("late_interaction",))
        assert semantics.requires_artifact_family("late_interaction")
        assert not semantics.requires_artifact_family("document_text")
        with pytest.raises(ValueError, match="unknown reference scoring semantics 'other'"):
            kayak.ReferenceScoringSemantics("other")


class TestProxyPlan:
    @pytest.mark.parametrize(("query_budget", "document_budget"), [(0, 0), (2, 3), (100, 1)])
    def test_scores_are_dot_products_of_means(
        self, index: kayak.LateIndex, query: kayak.LateQuery, query_budget: int, document_budget: int
    ) -> None:
        generator = kayak.document_proxy_candidate_generator(
            query_vector_budget=query_budget, document_vector_budget=document_budget
        )
        stage = kayak.generate_candidates(query, index, generator, k=7)
        query_mean = query.as_vector_matrix().astype(np.float64)[: query_budget or None].mean(axis=0)
        expected = [
            index.document_token_matrix(i).astype(np.float64)[: document_budget or None].mean(axis=0) @ query_mean
            for i in range(60)
        ]
        np.testing.assert_allclose(stage.scores.values, expected, rtol=1e-5, atol=1e-6)
        assert stage.hits == stage.scores.topk(7)
        assert stage.generator is generator
        assert stage.select_index(index).doc_ids == stage.candidate_doc_ids

    def test_proxies_are_prepared_once_and_shown(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        plan = kayak.document_proxy_search_plan(2, 5)
        first = kayak.search_with_plan(query, index, plan).candidate_stage.profile
        second = kayak.search_with_plan(query, index, plan).candidate_stage.profile
        assert first.preparation == "one mean vector of all vectors for each of 60 documents"
        assert first.preparation_seconds > 0
        assert second.preparation_seconds == 0.0
        assert first.bytes_read - second.bytes_read == index.vector_byte_size
        assert (second.query_vector_count, second.document_count, second.document_vector_count) == (1, 60, 60)
        assert second.executor is None

    def test_stage_two_is_exact(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        result = kayak.search_with_plan(query, index, kayak.document_proxy_search_plan(3, 12))
        exact = dict(zip(index.doc_ids, kayak.maxsim(query, index).values.tolist(), strict=True))
        np.testing.assert_allclose([h.score for h in result.hits], [exact[h.doc_id] for h in result.hits], rtol=1e-6)
        assert result.stage2.stage_name == "exact_late_interaction"
        assert (result.stage2.input_hit_count, result.stage2.output_hit_count) == (12, 3)
        artifact = result.stage2.materialized_artifacts[0]
        assert (artifact.family, artifact.document_count) == ("late_interaction", 12)
        assert artifact.document_vector_count == result.stage2.document_vector_count
        assert result.candidate_index is not None
        assert result.candidate_index.doc_ids == result.candidate_stage.candidate_doc_ids
        assert result.reference_scores.doc_ids == result.candidate_index.doc_ids

    def test_a_window_of_everything_finds_the_exact_hits(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        result = kayak.search_with_plan(query, index, kayak.document_proxy_search_plan(5, 60))
        assert result.hits == kayak.search(query, index, k=5)

    def test_another_dimension_is_refused(self, index: kayak.LateIndex) -> None:
        with pytest.raises(ValueError, match="the query has dimension 2, but the index has 8"):
            kayak.search_with_plan(kayak.query(np.eye(2)), index, kayak.document_proxy_search_plan(1, 2))


class TestPlanRefusals:
    def test_sizes(self) -> None:
        with pytest.raises(ValueError, match=r"candidate_k \(2\) must be at least final_k \(3\)"):
            kayak.document_proxy_search_plan(3, 2)
        with pytest.raises(ValueError, match="final_k and candidate_k must be ≥ 1, got 0"):
            kayak.exact_full_scan_search_plan(0)
        with pytest.raises(TypeError, match="must be an integer ≥ 1, got str '3'"):
            kayak.exact_full_scan_search_plan("3")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="query_vector_budget and document_vector_budget must be ≥ 0, got -1"):
            kayak.document_proxy_search_plan(1, 2, query_vector_budget=-1)

    def test_stages_of_the_wrong_type(self, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        with pytest.raises(TypeError, match="stage3_verifier must be a Stage3VerifierOperator, got NoopTopk"):
            kayak.exact_full_scan_search_plan(
                1,
                stage3_verifier=kayak.noop_topk_stage2_reference_operator(),  # type: ignore[arg-type]
            )
        with pytest.raises(TypeError, match="expected a SearchPlan, got int"):
            kayak.search_with_plan(query, index, 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected a CandidateGenerator, got str"):
            kayak.generate_candidates(query, index, "proxy", k=3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="k must be ≥ 1, got 0"):
            kayak.generate_candidates(query, index, kayak.exact_full_scan_candidate_generator(), k=0)

    def test_the_corpus(self, corpus: kayak.LateDocuments, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        plan = kayak.exact_full_scan_search_plan(1)
        with pytest.raises(TypeError, match=r"a LateIndex or a store, got LateDocuments; call \.pack\(\)"):
            kayak.search_with_plan(query, corpus, plan)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="select documents of a store, but the corpus is a LateIndex"):
            kayak.search_with_plan(query, index, plan, where={"a": 1})
        with pytest.raises(
            kayak.UnsupportedOperationError, match="searches inside a store, but the corpus is a LateIndex"
        ):
            kayak.search_with_plan(query, index, kayak.store_native_search_plan(1, 2))

    def test_plans_are_values(self) -> None:
        assert kayak.document_proxy_search_plan(1, 2) == kayak.document_proxy_search_plan(1, 2)
        assert len({kayak.document_proxy_search_plan(1, 2), kayak.document_proxy_search_plan(1, 3)}) == 2
        assert attrs.evolve(kayak.document_proxy_search_plan(1, 2), candidate_k=9).candidate_k == 9


class TestStoreAsCorpus:
    def test_exact_plan_over_a_store(
        self, store: kayak.MemoryLateStore, index: kayak.LateIndex, query: kayak.LateQuery
    ) -> None:
        result = kayak.search_with_plan(query, store, kayak.exact_full_scan_search_plan(4))
        assert result.hits == kayak.search(query, index, k=4)
        assert result.load_profile is not None
        assert (result.load_profile.stage_name, result.load_profile.document_count) == ("load_index", 60)
        assert result.load_profile.bytes_read == index.vector_byte_size
        assert [p.stage_name for p in result.profiles] == ["load_index", "exact_full_scan", "noop_topk", "none"]

    def test_a_memory_map_is_not_read_by_loading_it(self, corpus: kayak.LateDocuments, tmp_path: Path) -> None:
        with kayak.open_store("kayak", path=tmp_path / "index") as store:
            store.upsert(corpus)
            result = kayak.search_with_plan(kayak.query(np.ones((1, 8))), store, kayak.exact_full_scan_search_plan(4))
        assert result.load_profile is not None
        assert result.load_profile.bytes_read == 0
        assert result.load_profile.materialized_artifacts[0].document_vector_count == corpus.total_vector_count
        assert result.candidate_stage.profile.bytes_read == corpus.total_vector_count * 8 * 4

    def test_where_and_doc_ids(self, store: kayak.MemoryLateStore, query: kayak.LateQuery) -> None:
        plan = kayak.document_proxy_search_plan(60, 60)
        result = kayak.search_with_plan(query, store, plan, where={"even": True}, doc_ids=["d1", "d2", "d4"])
        assert {hit.doc_id for hit in result.hits} == {"d2", "d4"}

    @pytest.mark.parametrize(
        "plan", [kayak.exact_full_scan_clause_text_search_plan(3), kayak.store_native_search_plan(3, 5)]
    )
    def test_an_empty_selection_gives_no_hits(
        self, store: kayak.MemoryLateStore, query: kayak.LateQuery, plan: kayak.SearchPlan
    ) -> None:
        result = kayak.search_with_plan(query, store, plan, where={"even": "no such value"})
        assert result.hits == ()
        assert result.candidate_stage.hits == ()
        assert len(result.reference_scores) == 0
        assert result.stage2.output_hit_count == 0
        assert result.candidate_index is None

    def test_store_native(self, store: kayak.MemoryLateStore, index: kayak.LateIndex, query: kayak.LateQuery) -> None:
        plan = kayak.store_native_search_plan(3, 9, stage3_verifier=kayak.clause_text_stage3_verifier_operator())
        result = kayak.search_with_plan(query, store, plan, where={"even": True})
        assert result.candidate_stage.profile.stage_name == "store_native"
        assert result.candidate_stage.generator == kayak.store_native_candidate_generator()
        assert result.load_profile is None
        assert result.stage2.document_count == 9
        assert result.stage3_verifier.document_text_count == 9
        assert all(int(hit.doc_id[1:]) % 2 == 0 for hit in result.hits)

    def test_a_store_without_a_search_is_refused(self, query: kayak.LateQuery) -> None:
        class Plain(kayak.MemoryLateStore):
            kind = "plain"
            search_candidates = kayak.BaseLateStore.search_candidates
            capabilities = kayak.BaseLateStore.capabilities

        store = Plain()
        with pytest.raises(kayak.UnsupportedOperationError, match="store 'plain' has no search of its own"):
            kayak.search_with_plan(query, store, kayak.store_native_search_plan(1, 2))
        with pytest.raises(kayak.UnsupportedOperationError, match="store 'plain' has no search of its own"):
            store.search_candidates(query, k=1)

    def test_generators_over_indexes_do_not_run_in_stores(
        self, store: kayak.MemoryLateStore, query: kayak.LateQuery
    ) -> None:
        with pytest.raises(
            kayak.UnsupportedOperationError, match="runs over an index, not inside store MemoryLateStore"
        ):
            kayak.exact_full_scan_candidate_generator().generate_in_store(query, store, k=1)
