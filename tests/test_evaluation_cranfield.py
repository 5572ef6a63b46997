"""Comparison and tuning on a real collection: what they promise holds there."""

from __future__ import annotations

import os
from pathlib import Path

import kayak
import numpy as np
import pytest

pytest.importorskip("ir_measures", reason="ir-measures is not installed")

FOLDER = Path(os.environ.get("KAYAK_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data") / "cranfield"
SPLITS = 20


@pytest.fixture(scope="module")
def dataset() -> kayak.RetrievalDataset:
    if not FOLDER.exists():
        pytest.skip(f"the test collection is not at {FOLDER}; set KAYAK_TEST_DATA to a folder that holds cranfield/")
    return kayak.read_beir(FOLDER)


@pytest.fixture(scope="module")
def retriever(dataset: kayak.RetrievalDataset) -> kayak.LateTextRetriever:
    texts = {doc_id: text for doc_id, text in dataset.corpus.items() if doc_id not in dataset.empty_documents}
    made = kayak.open_text_retriever(encoder="hashing", store="memory", backend=kayak.NUMPY_REFERENCE_BACKEND)
    made.upsert_texts(list(texts), list(texts.values()))
    return made


def test_the_collection_is_the_one_that_is_known(dataset: kayak.RetrievalDataset) -> None:
    assert repr(dataset) == "RetrievalDataset('cranfield': 1,400 documents, 225 queries, 1,837 judgements)"
    assert dataset.empty_documents == ("471", "995")


def test_metrics_are_those_of_trec_eval_on_the_written_run(
    dataset: kayak.RetrievalDataset, retriever: kayak.LateTextRetriever, tmp_path: Path
) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval is not installed")
    result = kayak.evaluate(retriever, dataset.queries, dataset.qrels, metrics=("nDCG@10", "R@100", "AP"))
    kayak.write_trec_run(tmp_path / "cranfield.run", result.run)
    run = kayak.read_trec_run(tmp_path / "cranfield.run")
    judge = pytrec_eval.RelevanceEvaluator(dict(dataset.qrels), {"ndcg_cut.10", "recall.100", "map"})
    expected = judge.evaluate(run)
    for ours, theirs in {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "AP": "map"}.items():
        for each in result.queries:
            assert each.metrics[ours] == pytest.approx(expected[each.query_id][theirs], abs=1e-9)
        assert result.metrics[ours] == pytest.approx(np.mean([e[theirs] for e in expected.values()]), abs=1e-9)


def test_every_backend_windows_and_a_store_in_one_table_and_one_plot(
    dataset: kayak.RetrievalDataset, retriever: kayak.LateTextRetriever, tmp_path: Path
) -> None:
    matplotlib_image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    windows = (50, 200, 800)
    plans = {
        "exact": kayak.exact_full_scan_search_plan(10),
        **{f"proxy {window}": kayak.document_proxy_search_plan(10, window) for window in windows},
        "native": kayak.store_native_search_plan(10, 50),
    }
    comparison = kayak.compare_plans(retriever, dataset.queries, plans, qrels=dataset.qrels, repeats=1)
    comparison.plot(tmp_path / "compare.png")
    backends = kayak.available_backends()
    assert len(comparison.table().rows) == len(plans) * len(backends)
    for backend in backends:
        found = {each.plan_name: each for each in comparison if each.backend == backend}
        assert found["exact"].recall.final == 1.0
        assert found["native"].recall.final == 1.0
        recalls = [found[f"proxy {window}"].recall.final for window in windows]
        assert recalls == sorted(recalls)
        assert recalls[0] < 0.5 < 0.9 < recalls[-1]
        assert found["exact"].metrics["nDCG@10"] == pytest.approx(0.3436, abs=5e-4)
    assert matplotlib_image.imread(tmp_path / "compare.png").shape[:2] == (780, 1350)


def test_tuned_plans_reach_their_target_on_unseen_queries(
    dataset: kayak.RetrievalDataset, retriever: kayak.LateTextRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kayak.evaluation.measuring._SETTLE_SECONDS", 0.0)  # times do not matter here
    encoded = {query_id: retriever.encode_query(text) for query_id, text in dataset.queries.items()}
    index = retriever.load_index()
    few = index.doc_ids[:500]  # enough to lose documents, and quick
    index = kayak.documents(few, [index.document_token_matrix(number) for number in range(len(few))]).pack()
    batch = kayak.query_batch(list(encoded.values()))
    exact = dict(
        zip(encoded, ([hit.doc_id for hit in hits] for hits in kayak.search_batch(batch, index, k=10)), strict=True)
    )
    ids = np.array(list(encoded))
    reached = 0
    for seed in range(SPLITS):
        mixed = np.random.default_rng(seed).permutation(ids).tolist()
        given, unseen = mixed[:150], mixed[150:]
        result = kayak.tune_plan(
            index,
            {query_id: encoded[query_id] for query_id in given},
            recall_target=0.8,
            candidate_ks=[40, 80, 120, 160, 200, 280, 400],
            generators=[kayak.document_proxy_candidate_generator(document_vector_budget=64)],
            truth=exact,
            seed=seed,
        )
        assert result.plan is not None
        assert result.interval is not None
        assert result.plan.candidate_k <= 280, "a choice that keeps nearly all proves nothing"
        recalls = []
        for query_id in unseen:
            hits = kayak.search_with_plan(encoded[query_id], index, result.plan).hits
            recalls.append(len({hit.doc_id for hit in hits} & set(exact[query_id])) / 10)
        recall = float(np.mean(recalls))
        reached += recall >= result.recall_target and result.interval.low <= recall <= result.interval.high
    assert reached >= 18
