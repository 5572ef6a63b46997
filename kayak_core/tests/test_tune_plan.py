"""`kayak.tune_plan`: the choice is the cheapest that passes, and the intervals hold what they promise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import kayak
import numpy as np
import pytest
from collections_for_tests import random_index, random_queries
from kayak.evaluation import measuring
from kayak.evaluation.confidence import mean_interval

INDEX = random_index(200)
QUERIES = random_queries(160)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SETTLE_SECONDS", 0.0)


@pytest.mark.parametrize("mean", [0.5, 0.9, 0.99])
def test_intervals_hold_the_mean_as_often_as_they_say(mean: float) -> None:
    generator = np.random.default_rng(3)
    low = high = 0
    for _ in range(400):
        chance = generator.beta(4 * mean, 4 * (1 - mean), 60)
        interval = mean_interval(generator.binomial(10, chance) / 10, 0.9)
        low += interval.low > mean
        high += interval.high < mean
    # Each end may miss in 5 % of the samples: 20 of 400, and 34 with a probability of about 0.001.
    assert low <= 34
    assert high <= 34


def test_intervals_shrink_and_hold_the_sample() -> None:
    generator = np.random.default_rng(4)
    widths = []
    for count in (20, 200, 2000):
        values = generator.integers(0, 11, count) / 10
        interval = mean_interval(values, 0.95)
        assert 0 <= interval.low < values.mean() < interval.high <= 1
        widths.append(interval.high - interval.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    wide, narrow = (mean_interval(values, level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert str(narrow) == f"[{narrow.low:.3f}, {narrow.high:.3f}]"


def test_perfect_samples_show_less_than_perfection() -> None:
    lows = [mean_interval(np.ones(count), 0.95).low for count in (4, 40, 400)]
    assert lows == sorted(lows)
    assert 0.85 < lows[1] < 0.025 ** (1 / 40)  # no valid bound is above Clopper and Pearson's
    assert mean_interval(np.ones(40), 0.95).high == 1.0
    assert mean_interval(np.zeros(40), 0.95).low == 0.0


def test_the_choice_is_the_cheapest_that_passed_in_an_unbroken_series() -> None:
    result = kayak.tune_plan(INDEX, QUERIES, recall_target=0.7, k=5)
    assert result.reached
    assert result.plan is not None
    assert result.trials[0].passed
    passed = [trial.passed for trial in result.trials]
    assert passed == sorted(passed, reverse=True)
    assert passed.count(False) <= 1
    chosen = [trial for trial in result.trials if trial.passed][-1]
    assert result.chosen is chosen
    assert (result.candidate_k, result.recall, result.interval) == (chosen.candidate_k, chosen.recall, chosen.interval)
    assert chosen.interval.low >= 0.7
    assert all(trial.passed == (trial.interval.low >= 0.7) for trial in result.trials)
    front = [point for point in result.points if point.pareto_optimal]
    costs = sorted((point.dot_products_per_query, point.recall) for point in front)
    assert costs == sorted(costs, key=lambda pair: pair[1])
    assert [(t.generator, t.candidate_k) for t in result.trials] == [
        (p.generator, p.candidate_k) for p in sorted(front, key=lambda p: -p.dot_products_per_query)
    ][: len(result.trials)]
    for point in result.points:
        if not point.pareto_optimal:
            assert any(
                other.recall >= point.recall and other.dot_products_per_query <= point.dot_products_per_query
                for other in front
            )


def test_a_mean_above_the_target_is_not_enough() -> None:
    first = kayak.tune_plan(INDEX, QUERIES, recall_target=0.7, k=5)
    trial = first.trials[1]
    target = trial.recall - 0.005
    second = kayak.tune_plan(INDEX, QUERIES, recall_target=target, k=5)
    same = [
        each for each in second.trials if (each.generator, each.candidate_k) == (trial.generator, trial.candidate_k)
    ]
    assert not any(each.passed for each in same)
    assert trial.interval.low < target < trial.recall


def test_the_queries_are_split_and_both_sides_are_measured_as_said() -> None:
    generator = kayak.document_proxy_candidate_generator(document_vector_budget=3)
    result = kayak.tune_plan(
        INDEX,
        QUERIES,
        recall_target=0.6,
        k=5,
        generators=[generator],
        candidate_ks=[40, 20, 150],
        held_out=0.25,
        seed=9,
    )
    tuning, held_out = set(result.tuning_query_ids), set(result.held_out_query_ids)
    assert tuning | held_out == set(QUERIES)
    assert not tuning & held_out
    assert len(held_out) == 40
    assert [point.candidate_k for point in result.points] == [20, 40, 150]
    assert {point.generator for point in result.points} == {"document_proxy(document_vector_budget=3)"}
    for point in result.points:
        plan = kayak.document_proxy_search_plan(5, point.candidate_k, document_vector_budget=3)
        recalls, work = recall_and_work(plan, tuning)
        assert point.recall == pytest.approx(recalls)
        assert point.dot_products_per_query == pytest.approx(work)
    assert result.evaluation is not None
    assert result.plan is not None
    recalls, work = recall_and_work(result.plan, held_out)
    assert result.recall == pytest.approx(recalls)
    assert result.evaluation.recall.final == pytest.approx(recalls)
    assert result.evaluation.dot_products_per_query == pytest.approx(work)
    assert result.exact.recall.final == 1.0
    again = kayak.tune_plan(INDEX, QUERIES, recall_target=0.6, k=5, held_out=0.25, seed=9)
    assert again.held_out_query_ids == result.held_out_query_ids
    other = kayak.tune_plan(INDEX, QUERIES, recall_target=0.6, k=5, held_out=0.25, seed=10)
    assert other.held_out_query_ids != result.held_out_query_ids


def recall_and_work(plan: kayak.SearchPlan, query_ids: set[str]) -> tuple[float, float]:
    found = [kayak.search_with_plan(QUERIES[query_id], INDEX, plan) for query_id in sorted(query_ids)]
    exact = [{hit.doc_id for hit in kayak.search(QUERIES[query_id], INDEX, k=5)} for query_id in sorted(query_ids)]
    recalls = [len(best & {hit.doc_id for hit in each.hits}) / 5 for best, each in zip(exact, found, strict=True)]
    work = [sum(s.query_vector_count * s.document_vector_count for s in each.profiles) for each in found]
    return float(np.mean(recalls)), float(np.mean(work))


def test_when_no_plan_reaches_the_target_it_says_so_and_why() -> None:
    result = kayak.tune_plan(INDEX, QUERIES, recall_target=0.9, k=5, candidate_ks=[5, 10])
    assert not result.reached
    assert (result.plan, result.candidate_k, result.recall, result.interval, result.evaluation) == (None,) * 5
    assert len(result.trials) == 1
    said = str(result)
    assert said.startswith("No plan reaches recall 0.9 of the exact top 5 with 95% confidence.")
    assert f"has recall {result.trials[0].recall:.3f} on 80 held-out queries" in said
    assert "So few queries" not in said
    assert said.endswith("The exact full scan has recall 1: kayak.exact_full_scan_search_plan(k).")
    assert repr(result) == "TuningResult(recall@5 ≥ 0.9: no plan reaches it)"
    few = kayak.tune_plan(INDEX, dict(list(QUERIES.items())[:20]), recall_target=0.95, k=5, candidate_ks=[200])
    assert not few.reached
    assert few.trials[0].recall == 1.0
    assert f"could not show it even with recall 1 in each (that shows {few.best_possible:.3f})" in str(few)


def test_what_a_result_says() -> None:
    result = kayak.tune_plan(INDEX, QUERIES, recall_target=0.7, k=5)
    said = str(result).splitlines()
    assert said[0].endswith("reaches recall 0.7 of the exact top 5.")
    assert f"interval {result.interval}" in said[1]
    assert "% of the dot products of the exact scan" in said[2]
    assert f"candidate_k {result.candidate_k}" in repr(result)
    assert [row[-1] for row in result.table().rows] == ["yes" if trial.passed else "no" for trial in result.trials]
    again = json.loads(json.dumps(result.to_dict()))
    assert again["interval"] == [result.interval.low, result.interval.high] if result.interval else False
    assert len(again["points"]) == len(result.points)
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert len(result.to_dataframe()) == len(result.points)


def test_a_plan_slower_than_the_exact_scan_is_called_that() -> None:
    result = kayak.tune_plan(INDEX, QUERIES, recall_target=0.7, k=5)
    import attrs

    assert result.evaluation is not None
    slow = tuple(attrs.evolve(each, seconds=9.0) for each in result.evaluation.queries)
    slower = attrs.evolve(result, evaluation=attrs.evolve(result.evaluation, queries=slow))
    assert str(slower).endswith("the exact scan is the better plan here.")


def test_a_stores_own_search_is_tuned_too() -> None:
    texts = [f"plate {i} in flow {i % 4} over wing {i % 9}" for i in range(60)]
    with kayak.open_text_retriever(encoder="hashing", store="memory") as retriever:
        retriever.upsert_texts([f"d{i}" for i in range(60)], texts)
        generators = [kayak.store_native_candidate_generator()]
        queries = {f"q{i}": f"plate {i} wing {i % 5}" for i in range(40)}
        result = kayak.tune_plan(retriever, queries, recall_target=0.5, k=5, generators=generators)
    assert result.candidate_k == 5  # the memory store searches exactly, so the narrowest window will do
    assert result.plan is not None
    assert result.plan.candidate_generator == generators[0]


def test_a_corpus_smaller_than_k() -> None:
    small = INDEX.select(INDEX.doc_ids[:3])
    result = kayak.tune_plan(small, QUERIES, recall_target=0.5, k=5)
    assert result.candidate_k == 5
    assert result.recall == 1.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"recall_target": 1.0},
            kayak.InvalidInputError,
            "recall_target must lie between 0 and 1, both excluded, got 1.0",
        ),
        ({"recall_target": "high"}, kayak.InvalidTypeError, "recall_target must be a number between 0 and 1, got str"),
        ({"recall_target": True}, kayak.InvalidTypeError, "recall_target must be a number"),
        ({"confidence": 95}, kayak.InvalidInputError, "confidence must lie between 0 and 1"),
        ({"held_out": 0}, kayak.InvalidInputError, "held_out must lie between 0 and 1"),
        ({"k": 0}, kayak.InvalidInputError, "k must be ≥ 1"),
        ({"seed": -1}, kayak.InvalidInputError, "seed must be ≥ 0"),
        ({"candidate_ks": [3]}, kayak.InvalidInputError, "a window of 3 cannot hold the 5 hits"),
        ({"candidate_ks": []}, kayak.InvalidInputError, "candidate_ks is empty"),
        ({"candidate_ks": 50}, kayak.InvalidTypeError, "candidate_ks must be a sequence of integers, got int"),
        ({"candidate_ks": ["50"]}, kayak.InvalidTypeError, "candidate_ks must be an integer"),
        ({"generators": []}, kayak.InvalidInputError, "generators is empty"),
        ({"generators": ["document_proxy"]}, kayak.InvalidTypeError, "expected a CandidateGenerator, got str"),
        (
            {"generators": kayak.document_proxy_candidate_generator()},
            kayak.InvalidTypeError,
            "generators must be a sequence of candidate generators, got DocumentProxy",
        ),
        (
            {"generators": [kayak.store_native_candidate_generator()]},
            kayak.InvalidInputError,
            "searches inside a store",
        ),
        ({"queries": list(QUERIES.values())[:3]}, kayak.InvalidInputError, "at least 4, and here are 3"),
        ({"backend": "gpu"}, kayak.UnknownKindError, "gpu"),
    ],
)
def test_wrong_input_is_named(options: Mapping[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kayak.tune_plan(**{"corpus": INDEX, "queries": QUERIES, "recall_target": 0.8, "k": 5, **options})
