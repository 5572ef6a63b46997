"""`kayak.compare_plans`: every plan by every backend, in turns, with what each measures alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import kayak
import pytest
from collections_for_tests import random_index, random_qrels, random_queries
from kayak.evaluation import measuring
from rich.console import Console

pytest.importorskip("ir_measures", reason="ir-measures is not installed (extra eval)")

INDEX = random_index()
QUERIES = random_queries(40)
EXACT = kayak.exact_full_scan_search_plan(5)
PLANS = {
    "exact": EXACT,
    "narrow": kayak.document_proxy_search_plan(5, 8),
    "wide": kayak.document_proxy_search_plan(5, 60),
}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SETTLE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def second_backend() -> str:
    """Another executor: numpy's, under another name."""
    from kayak.plugins import find_executor

    class Renamed(type(find_executor("numpy_reference"))):  # type: ignore[misc]
        name = "compare_other"

    kayak.register_executor("compare_other", Renamed, replace=True)
    return "compare_other"


def test_each_result_is_that_of_the_plan_alone(second_backend: str) -> None:
    qrels = random_qrels(QUERIES, INDEX.doc_ids)
    backends = ("numpy_reference", second_backend)
    comparison = kayak.compare_plans(
        INDEX, QUERIES, PLANS, qrels=qrels, metrics=["nDCG@5"], backends=backends, repeats=1
    )
    assert [each.name for each in comparison] == [f"{name} · {backend}" for name in PLANS for backend in backends]
    assert len(comparison) == 6
    for each in comparison:
        alone = kayak.evaluate(INDEX, QUERIES, qrels, plan=each.plan, metrics=["nDCG@5"])
        assert [q.hits for q in each.queries] == [q.hits for q in alone.queries]
        assert each.recall == alone.recall
        assert each.metrics == alone.metrics
        assert each.dot_products_per_query == alone.dot_products_per_query
        assert each.bytes_per_query == alone.bytes_per_query
    assert comparison["wide · compare_other"].backend == second_backend
    assert comparison.table().headings[:2] == ("plan", "backend")
    assert comparison.table().rows[-1][:2] == ("wide", second_backend)
    assert comparison["exact · numpy_reference"].recall.final == 1.0


def test_turns_rotate_and_every_query_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[str, int]] = []
    run_block = measuring._run_block

    def spy(corpus: Any, queries: Any, configuration: Any, record: Any, block: Any, truth: Any) -> None:
        turns.append((configuration.name, len(block)))
        run_block(corpus, queries, configuration, record, block, truth)

    monkeypatch.setattr(measuring, "_run_block", spy)
    comparison = kayak.compare_plans(INDEX, QUERIES, PLANS, backends=["numpy_reference"], repeats=2)
    names = list(PLANS)
    assert [name for name, _ in turns] == [names[(turn + place) % 3] for turn in range(6) for place in range(3)]
    assert [size for _, size in turns] == [16] * 6 + [8] * 3 + [16] * 6 + [8] * 3
    assert [len(each.queries) for each in comparison] == [40] * 3


def test_the_pareto_front() -> None:
    def result(name: str, recall: float, seconds: float) -> kayak.EvaluationResult:
        measured = kayak.evaluation.QueryMeasurement(
            "q", (), {}, kayak.evaluation.StageRecall(recall, recall, recall), seconds, 1, 1, 1, 1
        )
        return kayak.EvaluationResult(name, EXACT, "numpy_reference", 5, (measured,), 10)

    comparison = kayak.PlanComparison(
        (
            result("best", 1.0, 3.0),
            result("slower", 1.0, 4.0),
            result("fast", 0.5, 1.0),
            result("worse", 0.4, 1.0),
            result("twin", 0.5, 1.0),
        )
    )
    assert [each.name for each in comparison.pareto_front] == ["fast", "twin", "best"]
    assert [row[-1] for row in comparison.table().rows] == ["*", "", "*", "", "*"]
    assert comparison.table().marked == {0, 2, 4}


def test_tables_and_values() -> None:
    qrels = random_qrels(QUERIES, INDEX.doc_ids)
    comparison = kayak.compare_plans(
        INDEX,
        QUERIES,
        PLANS,
        qrels=qrels,
        metrics=["P@5"],
        backends=["numpy_reference"],
        repeats=1,
        show_progress=False,
    )
    lines = str(comparison).splitlines()
    assert lines[0].startswith("40 queries over 120 documents")
    assert lines[1].split() == "plan recall@5 P@5 p50 p90 p99 products read front".split()
    assert [line.split()[0] for line in lines[2:]] == list(PLANS)
    assert lines[2].split()[1] == "1.000"
    assert repr(comparison) == "PlanComparison(3 results over 40 queries)"
    again = json.loads(json.dumps(comparison.to_dict()))
    assert again["k"] == 5
    assert [row["name"] for row in again["results"]] == list(PLANS)
    assert any(row["pareto_optimal"] for row in again["results"])
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 - a sink
    console.print(comparison)
    console.file.close()
    assert "narrow" in console.export_text()
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = comparison.to_dataframe()
    assert list(frame["name"]) == list(PLANS)
    assert frame["recall_final"][0] == 1.0
    assert frame["latency_p50_seconds"].min() > 0


def test_plans_in_a_sequence_are_named_after_their_stages() -> None:
    budget = kayak.document_proxy_search_plan(5, 8, document_vector_budget=2)
    verified = kayak.exact_full_scan_search_plan(5, candidate_k=9)
    comparison = kayak.compare_plans(
        INDEX, QUERIES, [EXACT, PLANS["narrow"], budget, verified], backends=["numpy_reference"]
    )
    assert [each.name for each in comparison] == [
        "exact_full_scan",
        "document_proxy 8",
        "document_proxy(document_vector_budget=2) 8",
        "exact_full_scan 9",
    ]
    operator = kayak.exact_late_interaction_stage2_reference_operator()
    rescored = kayak.exact_full_scan_search_plan(5, stage2_reference_operator=operator)
    two = kayak.compare_plans(INDEX, QUERIES, [EXACT, rescored], backends=["numpy_reference"])
    assert [each.name for each in two] == [
        "exact_full_scan → noop_topk, candidate_k 5, final_k 5",
        "exact_full_scan → exact_late_interaction, candidate_k 5, final_k 5",
    ]


def test_a_stores_own_search_beside_plans_over_its_documents() -> None:
    with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
        retriever.upsert_texts([f"d{i}" for i in range(30)], [f"plate {i} in flow {i % 4}" for i in range(30)])
        queries = {"a": "plate 3", "b": "flow 2 of plate 6"}
        plans = {
            "exact": kayak.exact_full_scan_search_plan(3),
            "native": kayak.store_native_search_plan(3, 10),
            "verified": kayak.document_proxy_search_plan(
                3, 10, stage3_verifier=kayak.clause_text_stage3_verifier_operator()
            ),
        }
        comparison = kayak.compare_plans(retriever, queries, plans, backends=["numpy_reference"], repeats=1)
        assert [each.recall.final for each in comparison][:2] == [1.0, 1.0]
        inside = kayak.search_with_plan(retriever.encode_query("plate 3"), retriever.store, plans["native"])
        assert comparison["native"].queries[0].hits == inside.hits
        # With a ranking that is known, nothing is loaded to compute it.
        truth = {each.query_id: [hit.doc_id for hit in each.hits] for each in comparison["exact"].queries}
        only = kayak.compare_plans(
            retriever, queries, {"native": plans["native"]}, truth=truth, repeats=1, backends=["numpy_reference"]
        )
        assert only["native"].recall.final == 1.0
        assert only["native"].load_seconds == 0.0
        assert only["native"].document_count == 30


def test_the_truth_may_be_the_run_of_an_exact_result() -> None:
    exact = kayak.evaluate(INDEX, QUERIES, {"q0": {"d0": 1}}, plan=EXACT, metrics=["P@5"])
    options: dict[str, Any] = {"backends": ["numpy_reference"], "repeats": 1}
    assert [each.recall for each in kayak.compare_plans(INDEX, QUERIES, PLANS, truth=exact.run, **options)] == [
        each.recall for each in kayak.compare_plans(INDEX, QUERIES, PLANS, **options)
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"plans": EXACT},
            kayak.InvalidTypeError,
            "plans must be plans by name or a sequence of plans, got SearchPlan",
        ),
        ({"plans": []}, kayak.InvalidInputError, "there is no plan to compare"),
        ({"plans": ["exact"]}, kayak.InvalidTypeError, "expected a SearchPlan, got str"),
        ({"plans": {" ": EXACT}}, kayak.InvalidTypeError, "plans are named by non-empty strings, got ' '"),
        ({"plans": [EXACT, EXACT]}, kayak.InvalidInputError, "two plans are exact_full_scan → noop_topk"),
        (
            {"plans": {"five": EXACT, "ten": kayak.exact_full_scan_search_plan(10)}},
            kayak.InvalidInputError,
            "'five' returns 5 documents and 'ten' 10; recall is comparable at one depth only",
        ),
        ({"backends": ()}, kayak.InvalidInputError, "backends is empty"),
        ({"backends": ["numpy_reference"] * 2}, kayak.InvalidInputError, "a backend is named twice"),
        (
            {"backends": "numpy_reference"},
            kayak.InvalidTypeError,
            "backends must be a sequence of strings, got one str",
        ),
        ({"backends": ["gpu"]}, kayak.UnknownKindError, "gpu"),
        ({"repeats": 1.5}, kayak.InvalidTypeError, "repeats must be an integer"),
        (
            {"plans": [kayak.store_native_search_plan(5, 5)]},
            kayak.InvalidInputError,
            "store_native searches inside a store, but the corpus is a LateIndex; pass the store or a retriever",
        ),
        (
            {"qrels": {"q0": {"d0": 1}}, "metrics": ["nDCG@10"]},
            kayak.InvalidInputError,
            "nDCG@10 looks at 10 documents, but the plan returns 5",
        ),
    ],
)
def test_wrong_input_is_named(options: Mapping[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kayak.compare_plans(**{"corpus": INDEX, "queries": QUERIES, "plans": PLANS, **options})


def test_an_unknown_name_is_named() -> None:
    comparison = kayak.compare_plans(INDEX, QUERIES, {"one": EXACT}, backends=["numpy_reference"], repeats=1)
    with pytest.raises(kayak.InvalidInputError, match="no result is called 'two'; there are 'one'"):
        comparison["two"]


def test_no_backend_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kayak.evaluation.backends.usable_backends", tuple)
    with pytest.raises(kayak.BackendUnavailableError, match="no backend can run here"):
        kayak.compare_plans(INDEX, QUERIES, PLANS)
