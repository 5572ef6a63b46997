"""`kayak.evaluate` against pytrec_eval and against recall computed by brute force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kayak
import numpy as np
import pytest

pytest.importorskip("ir_measures", reason="ir-measures is not installed (extra eval)")
pytest.importorskip("scipy", reason="scipy is not installed (extra eval)")

from collections_for_tests import maxsim_by_hand, random_index, random_qrels, random_queries

INDEX = random_index()
QUERIES = random_queries()
QRELS = random_qrels(QUERIES, INDEX.doc_ids)


def test_metrics_are_those_of_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval is not installed")
    result = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=("nDCG@10", "R@100", "AP", "RR", "P@5"))
    judge = pytrec_eval.RelevanceEvaluator(QRELS, {"ndcg_cut.10", "recall.100", "map", "recip_rank", "P.5"})
    expected = judge.evaluate(result.run)
    names = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "AP": "map", "RR": "recip_rank", "P@5": "P_5"}
    for each in result.queries:
        assert each.metrics.keys() == names.keys()
        for ours, theirs in names.items():
            assert each.metrics[ours] == pytest.approx(expected[each.query_id][theirs], abs=1e-9)
    for ours, theirs in names.items():
        mean = np.mean([values[theirs] for values in expected.values()])
        assert result.metrics[ours] == pytest.approx(mean, abs=1e-9)
    assert 0 < result.metrics["nDCG@10"] < 1


@pytest.mark.parametrize("candidate_k", [5, 12, 40, 120])
def test_stage_recall_is_that_of_brute_force(candidate_k: int) -> None:
    plan = kayak.document_proxy_search_plan(5, candidate_k, document_vector_budget=2)
    result = kayak.evaluate(INDEX, QUERIES, QRELS, plan=plan, metrics=["P@5"])
    for each in result.queries:
        query = QUERIES[each.query_id]
        exact = set(np.argsort(-maxsim_by_hand(query, INDEX), kind="stable")[:5].tolist())
        means = [
            INDEX.document_token_matrix(d)[:2].astype(np.float64).mean(axis=0) for d in range(INDEX.document_count)
        ]
        proxies = np.array(means) @ query.as_vector_matrix().astype(np.float64).mean(axis=0)
        window = set(np.argsort(-proxies, kind="stable")[:candidate_k].tolist())
        assert each.recall.candidates == len(exact & window) / 5
        assert each.recall.reference == each.recall.final == each.recall.candidates
    assert result.recall.final == pytest.approx(np.mean([each.recall.final for each in result.queries]))
    assert (result.recall.final == 1.0) == (candidate_k == 120)


def test_exact_scans_keep_everything_and_ties_count() -> None:
    result = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=["nDCG@10"])
    assert result.recall == kayak.evaluation.StageRecall(1.0, 1.0, 1.0)
    same = kayak.documents([f"d{i}" for i in range(6)], [[[1.0, 0.0]]] * 6).pack()
    reverse = {"q": ["d5", "d4"]}
    queries = {"q": kayak.query([[1.0, 0.0]])}
    plan = kayak.exact_full_scan_search_plan(2)
    tied = kayak.evaluate(
        same.select(list(reversed(same.doc_ids))), queries, {"q": {"d0": 1}}, plan=plan, metrics=["P@2"]
    )
    assert tied.recall.final == 1.0
    # A ranking that the caller knows is taken as it is: here the first two, which the scan does not return.
    known = kayak.evaluate(same, queries, {"q": {"d0": 1}}, plan=plan, metrics=["P@2"], truth=reverse)
    assert known.recall.final == 0.0


def test_stage_recall_shows_what_a_verifier_moves() -> None:
    texts = ["lift of wings", "heat of plates and wings", "drag of plates", "plates", "wings in flow"]
    with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
        retriever.upsert_texts(list("abcde"), texts)
        plan = kayak.exact_full_scan_clause_text_search_plan(2, candidate_k=5)
        result = kayak.evaluate(retriever, {"q": "wings and plates"}, {"q": {"b": 1}}, plan=plan, metrics=["P@2"])
    (each,) = result.queries
    assert (each.recall.candidates, each.recall.reference) == (1.0, 1.0)
    exact = retriever.encode_query("wings and plates")
    index = kayak.HashingEncoder().encode_documents(list("abcde"), texts).pack()
    best = {hit.doc_id for hit in kayak.search(exact, index, k=2)}
    assert each.recall.final == len(best & {hit.doc_id for hit in each.hits}) / 2


def test_counts_are_those_of_the_profiles_and_preparation_is_apart() -> None:
    index = random_index(seed=5)
    plan = kayak.document_proxy_search_plan(5, 20)
    result = kayak.evaluate(index, QUERIES, QRELS, plan=plan, metrics=["P@5"])
    assert result.preparation_seconds > 0
    for each in result.queries:
        found = kayak.search_with_plan(QUERIES[each.query_id], index, plan)
        assert each.hits == found.hits
        assert each.document_vector_count == sum(stage.document_vector_count for stage in found.profiles)
        assert each.bytes_read == sum(stage.bytes_read for stage in found.profiles)
        rescored = found.candidate_index
        assert rescored is not None
        assert each.dot_product_count == 120 + each.query_vector_count * rescored.total_vector_count
        assert each.seconds > 0
    times = [each.seconds for each in result.queries]
    assert result.latency.p50 == pytest.approx(np.median(times))
    assert result.latency.mean == pytest.approx(np.mean(times))
    assert result.latency.p50 <= result.latency.p90 <= result.latency.p99 <= max(times)


def test_index_store_retriever_and_session_give_the_same() -> None:
    texts = {f"d{i}": f"wing number {i} in flow {i % 7} with plate {i % 11}" for i in range(40)}
    queries = {"a": "wing 3 plate", "b": "flow 6", "c": "plate number 9"}
    qrels = {"a": {"d3": 2, "d25": 1}, "b": {"d6": 1}}
    with kayak.open_text_retriever(encoder="hashing", store="memory", backend="numpy_reference") as retriever:
        retriever.upsert_texts(list(texts), list(texts.values()))
        encoded = {query_id: retriever.encode_query(text) for query_id, text in queries.items()}
        plan = kayak.document_proxy_search_plan(5, 12)
        corpora: list[tuple[Any, Any]] = [
            (retriever, queries),
            (retriever.session(), queries),
            (retriever.store, encoded),
            (retriever.load_index(), encoded),
        ]
        results = [
            kayak.evaluate(corpus, given, qrels, plan=plan, metrics=["RR", "nDCG@5"]) for corpus, given in corpora
        ]
        assert len({json.dumps([[h.doc_id for h in q.hits] for q in each.queries]) for each in results}) == 1
        assert len({(each.metrics["RR"], each.recall) for each in results}) == 1
        assert results[0].judged_query_count == 2
        assert len(results[0].queries) == 3
        assert results[0].queries[2].metrics == {}
        assert results[2].load_seconds > 0
        assert results[3].load_seconds == 0
        by_text = kayak.evaluate(
            retriever.load_index(), queries, qrels, plan=plan, metrics=["RR"], encoder=retriever.encoder
        )
        assert by_text.metrics["RR"] == results[0].metrics["RR"]
        native = kayak.store_native_search_plan(5, 12)
        inside = kayak.evaluate(retriever, queries, qrels, plan=native, metrics=["RR"])
        assert inside.recall.final == 1.0
        with pytest.raises(
            kayak.InvalidInputError, match="store_native searches inside a store, but the corpus is a LateIn"
        ):
            kayak.evaluate(retriever.load_index(), encoded, qrels, plan=native, metrics=["RR"])


def test_sequences_of_queries_are_numbered() -> None:
    given = list(QUERIES.values())[:3]
    for queries in (given, kayak.query_batch(given)):
        result = kayak.evaluate(INDEX, queries, {"1": {"d0": 1}}, metrics=["nDCG@10"])
        assert [each.query_id for each in result.queries] == ["0", "1", "2"]
        assert result.judged_query_count == 1


def test_a_query_without_hits_counts_as_zero() -> None:
    from kayak.evaluation.metrics import parse_metrics, per_query_metrics

    values = per_query_metrics(parse_metrics(["nDCG@10"]), {"q": {"a": 1}, "r": {"a": 1}}, {"r": {"a": 1.0}})
    assert values == {"q": {"nDCG@10": 0.0}, "r": {"nDCG@10": 1.0}}


def test_what_a_result_says() -> None:
    plan = kayak.document_proxy_search_plan(10, 30, document_vector_budget=4)
    result = kayak.evaluate(INDEX, QUERIES, QRELS, plan=plan, metrics=["nDCG@10"], repeats=2)
    lines = str(result).splitlines()
    assert lines[0] == "document_proxy(document_vector_budget=4) 30 by numpy_reference: 30 queries over 120 documents"
    assert lines[1].split(maxsplit=1)[1] == (
        "document_proxy(document_vector_budget=4) → exact_late_interaction, candidate_k 30, final_k 10"
    )
    assert f"nDCG@10 {result.metrics['nDCG@10']:.4f} (mean of 30 judged queries)" in lines[2]
    assert f"{result.recall.candidates:.4f} in the window of 30" in lines[3]
    assert repr(result).startswith(
        "EvaluationResult('document_proxy(document_vector_budget=4) 30', 30 queries, recall@10 0."
    )
    again = json.loads(json.dumps(result.to_dict()))
    assert again["recall"]["k"] == 10
    assert len(again["queries"]) == 30
    assert again["queries"][0]["hits"][0] == {
        "doc_id": result.queries[0].hits[0].doc_id,
        "score": result.queries[0].hits[0].score,
    }
    assert result.values("recall") == {each.query_id: each.recall.final for each in result.queries}


def test_data_frames() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    result = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=["nDCG@10", "R@5"])
    frame = result.to_dataframe()
    assert list(frame["query_id"]) == list(QUERIES)
    assert frame["nDCG@10"].mean() == pytest.approx(result.metrics["nDCG@10"])
    assert {"R@5", "recall_candidates", "recall_final", "seconds", "bytes_read"} <= set(frame.columns)


def test_significance_is_scipys_and_finds_what_is_there() -> None:
    from scipy import stats

    good = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=["nDCG@10"])
    bad = kayak.evaluate(INDEX, QUERIES, QRELS, plan=kayak.document_proxy_search_plan(10, 10), metrics=["nDCG@10"])
    test = bad.compare(good, "recall")
    assert test.difference == pytest.approx(bad.recall.final - 1.0)
    assert test.p_value < 0.001
    assert "recall: document_proxy 10 0." in str(test)
    assert test.to_dict()["difference"] == test.difference
    one, other = (np.array(list(each.values("nDCG@10").values())) for each in (good, bad))
    expected = stats.permutation_test(
        (one, other),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=9_999,
        rng=np.random.default_rng(7),
    )
    assert good.compare(bad).p_value == pytest.approx(expected.pvalue, abs=0.03)
    assert good.compare(good).p_value == 1.0


def test_significance_is_exact_for_few_queries() -> None:
    few = {name: QUERIES[name] for name in list(QUERIES)[:3]}
    good = kayak.evaluate(INDEX, few, QRELS, metrics=["nDCG@10"])
    bad = kayak.evaluate(INDEX, few, QRELS, plan=kayak.document_proxy_search_plan(10, 10), metrics=["nDCG@10"])
    assert (np.array(list(bad.values("recall").values())) < 1).all()
    assert good.compare(bad, "recall").p_value == pytest.approx(0.25)  # all three signs alike: 2 of 8


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"corpus": "index"}, kayak.InvalidTypeError, "must be a LateIndex, a store or a retriever, got str"),
        ({"corpus": kayak.documents(["a"], [[[1.0]]])}, kayak.InvalidTypeError, r"got LateDocuments; call .pack\(\)"),
        ({"queries": "text"}, kayak.InvalidTypeError, "queries must map query ids to texts or encoded queries"),
        ({"queries": {}}, kayak.InvalidInputError, "there is no query"),
        ({"queries": {"q0": "text"}}, kayak.InvalidInputError, "query 'q0' is a text, and a corpus of vectors has no"),
        ({"queries": {3: "text"}}, kayak.InvalidTypeError, "query ids must be non-empty strings, got 3"),
        ({"queries": {"q0": 3.5}}, kayak.InvalidTypeError, "query 'q0' must be a text or a LateQuery, got float"),
        (
            {"queries": {"q0": kayak.query([[1.0]]), "q1": kayak.query([[1.0, 2.0]])}},
            kayak.InvalidInputError,
            "query 'q0' has dimension 1, but query 'q1' has 2",
        ),
        (
            {"queries": {"q0": kayak.query([[1.0]])}},
            kayak.InvalidInputError,
            "the query has dimension 1, but the index",
        ),
        ({"qrels": [("q0", "d0", 1)]}, kayak.InvalidTypeError, "qrels must map query ids"),
        ({"qrels": {"x": {"d0": 1}}}, kayak.InvalidInputError, r"none of the 30 queries has a judgement.*'q0'.*'x'"),
        ({"metrics": "nDCG@10"}, kayak.InvalidTypeError, "metrics must be a sequence of strings, got one str"),
        ({"metrics": ()}, kayak.InvalidInputError, "metrics is empty"),
        ({"metrics": ["nDCG@ten"]}, kayak.InvalidInputError, "'nDCG@ten' is no metric that ir-measures knows"),
        ({"metrics": ["R"]}, kayak.InvalidInputError, "'R' is no metric that ir-measures knows"),
        ({"plan": 10}, kayak.InvalidTypeError, "expected a SearchPlan, got int"),
        (
            {"plan": kayak.exact_full_scan_search_plan(10), "metrics": ["R@100"]},
            kayak.InvalidInputError,
            "R@100 looks at 100 documents, but the plan returns 10; give the plan final_k=100",
        ),
        ({"k": 0}, kayak.InvalidInputError, "k must be ≥ 1, got 0"),
        ({"k": 500}, kayak.InvalidInputError, "recall of the exact top 500 needs a plan that returns as many"),
        ({"repeats": 0}, kayak.InvalidInputError, "repeats must be ≥ 1"),
        ({"backend": "gpu"}, kayak.UnknownKindError, "gpu"),
        ({"truth": ["d0"]}, kayak.InvalidTypeError, "truth must map query ids to rankings, got list"),
        ({"truth": {"q0": ["d0"]}}, kayak.InvalidInputError, "truth has no ranking of query 'q1'"),
        ({"truth": dict.fromkeys(QUERIES, ())}, kayak.InvalidInputError, r"truth\['q0'\] is empty"),
        ({"corpus": kayak.MemoryLateStore()}, kayak.EmptySelectionError, "holds no documents; upsert some first"),
    ],
)
def test_wrong_input_is_named(options: Mapping[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"corpus": INDEX, "queries": QUERIES, "qrels": QRELS, **options}
    with pytest.raises(error, match=message):
        kayak.evaluate(**arguments)


def test_wrong_comparisons_are_named() -> None:
    result = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=["nDCG@10"])
    few = kayak.evaluate(INDEX, dict(list(QUERIES.items())[:3]), QRELS, metrics=["nDCG@10"])
    one = kayak.evaluate(INDEX, {"q0": QUERIES["q0"]}, QRELS, metrics=["nDCG@10"])
    with pytest.raises(kayak.InvalidTypeError, match="expected an EvaluationResult to compare with, got dict"):
        result.compare({})  # type: ignore[arg-type]
    with pytest.raises(kayak.InvalidInputError, match="'q10' is in one of them only"):
        result.compare(few)
    with pytest.raises(kayak.InvalidInputError, match="has no metric 'AP'; it has nDCG@10, recall"):
        result.compare(few, "AP")
    with pytest.raises(kayak.InvalidInputError, match="at least two queries, and here is 1"):
        one.compare(one)
    with pytest.raises(kayak.InvalidInputError, match="resamples must be ≥ 1"):
        result.compare(result, resamples=0)


@pytest.mark.parametrize(
    ("package", "call", "message"),
    [
        ("ir_measures", lambda result: kayak.evaluate(INDEX, QUERIES, QRELS), "ranking metrics need ir-measures"),
        ("pandas", lambda result: result.to_dataframe(), "to_dataframe() needs pandas"),
        ("scipy.stats", lambda result: result.compare(result), "the significance test needs scipy"),
        ("matplotlib.figure", lambda result: result.plot(Path("x.png")), "drawing a picture needs matplotlib"),
    ],
)
def test_missing_packages_are_named(package: str, call: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = kayak.evaluate(INDEX, QUERIES, QRELS, metrics=["nDCG@10"])
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(kayak.MissingDependencyError, match=message.replace("(", r"\(").replace(")", r"\)")):
        call(result)
