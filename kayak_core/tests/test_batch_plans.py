"""`search_batch_with_plan`: what each query would give alone, with the corpus loaded once."""

from __future__ import annotations

import kayak
import numpy as np
import pytest

DIM = 8


def filled() -> kayak.LateStore:
    rng = np.random.default_rng(0)
    store = kayak.open_store("memory")
    ids = [f"d{i}" for i in range(30)]
    store.upsert(
        kayak.documents(ids, [rng.standard_normal((3, DIM)) for _ in ids], texts=[f"wing {i}" for i in range(30)]),
        metadata=[{"n": i} for i in range(30)],
    )
    return store


def batch(*texts: str | None) -> kayak.LateQueryBatch:
    rng = np.random.default_rng(1)
    return kayak.query_batch([kayak.query(rng.standard_normal((2, DIM)), text=text) for text in texts])


@pytest.mark.parametrize(
    "plan",
    [
        kayak.exact_full_scan_search_plan(4),
        kayak.document_proxy_search_plan(4, 9),
        kayak.store_native_search_plan(4, 9),
        kayak.exact_full_scan_clause_text_search_plan(4, candidate_k=9),
    ],
    ids=lambda plan: plan.candidate_generator.kind + "-" + plan.stage3_verifier.kind,
)
def test_each_query_gets_what_it_gets_alone(plan: kayak.SearchPlan) -> None:
    queries = batch("wing 3", "wing 4", "wing 20")
    with filled() as store:
        for corpus in (store, store.load_index(include_text=True)):
            if plan.candidate_generator.corpus == "store" and corpus is not store:
                continue
            together = kayak.search_batch_with_plan(queries, corpus, plan)
            for query, found in zip(queries.queries, together, strict=True):
                alone = kayak.search_with_plan(query, corpus, plan)
                assert [hit.doc_id for hit in found.hits] == [hit.doc_id for hit in alone.hits]
                np.testing.assert_allclose(
                    [hit.score for hit in found.hits], [hit.score for hit in alone.hits], rtol=1e-5
                )
                assert found.candidate_stage.profile.elapsed_seconds > 0.0
                assert (found.load_profile is None) == (alone.load_profile is None)


def test_filters_hold_for_the_whole_batch() -> None:
    plan = kayak.document_proxy_search_plan(4, 9)
    with filled() as store:
        for found in kayak.search_batch_with_plan(batch(None, None), store, plan, where={"n": {"$lt": 3}}):
            assert {hit.doc_id for hit in found.hits} == {"d0", "d1", "d2"}
        empty = kayak.search_batch_with_plan(batch(None, None), store, plan, where={"n": 99})
        assert [found.hits for found in empty] == [(), ()]


def test_generators_may_share_work() -> None:
    calls = []

    class Sharing(type(kayak.exact_full_scan_candidate_generator())):  # type: ignore[misc]  # a class known at run time
        def generate_batch(self, batch, index, *, k, executor):
            calls.append(batch.batch_size)
            return super().generate_batch(batch, index, k=k, executor=executor)

    plan = kayak.SearchPlan(
        Sharing(), kayak.noop_topk_stage2_reference_operator(), kayak.none_stage3_verifier_operator(), 2, 2
    )
    with filled() as store:
        assert len(kayak.search_batch_with_plan(batch(None, None, None), store, plan)) == 3
    assert calls == [3]


def test_errors_say_what_was_given() -> None:
    plan = kayak.exact_full_scan_search_plan(2)
    with filled() as store:
        with pytest.raises(kayak.InvalidTypeError, match="expected a LateQueryBatch, got list"):
            kayak.search_batch_with_plan([], store, plan)  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(kayak.InvalidTypeError, match="expected a SearchPlan"):
            kayak.search_batch_with_plan(batch(None), store, "plan")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(kayak.InvalidInputError, match=r"query\.text is None"):
            kayak.search_batch_with_plan(batch("a", None), store, kayak.exact_full_scan_clause_text_search_plan(2))
